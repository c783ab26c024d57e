// Sends requests to a machine of several chips, joins the chips by wires, and prints the tokens.
//
//     chip FILE [NAME=NUMBER ...]
//
// stall       percent of cycles without in_valid and out_ready                     (0)
// link_stall  percent of cycles in which a wire refuses a symbol                   (0)
// latency     cycles that a wire takes                                             (4)
// errors      of 10^9 bits on wires that are inverted                              (0)
// dead, at    from cycle `at` on, the wires from chip `dead` carry zeros           (none)
// cut, to, at from cycle `at` on, the wire from chip `cut` to `to` carries zeros   (none)
// limit       cycles, at most                                                      (10000000)
// seed        of stalls and errors                                                 (1)
//
// The file has a line a request, as for one chip.  Prints one line of JSON.  Ends with 0: every request
// ended; 2: a bad file or argument; 3: the limit was passed; 4: a link failed, with its name.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "Vmachine.h"
#include "bench/machine.h"
#include "verilated.h"

namespace {

constexpr int kPorts = kChips - 1;

struct Request {
  unsigned tag;
  std::uint64_t seed;
  unsigned inverse;
  unsigned most;
  std::vector<unsigned> tokens;
};

struct Answer {
  std::vector<unsigned> tokens;
  bool refused = false;
  std::uint64_t first = 0;
  std::uint64_t last = 0;
};

std::vector<Request> read_requests(const char* path) {
  std::vector<Request> requests;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    Request one{};
    std::size_t n = 0;
    if (!(words >> one.tag >> one.seed >> one.inverse >> one.most >> n) || n == 0) return {};
    one.tokens.resize(n);
    for (auto& token : one.tokens) {
      if (!(words >> token)) return {};
    }
    requests.push_back(std::move(one));
  }
  return requests;
}

// xorshift, for stalls and errors
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 2654435761ULL + 1) {}
  std::uint64_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_ >> 16;
  }
  bool percent(std::uint64_t part) { return part != 0 && next() % 100 < part; }

 private:
  std::uint64_t state_;
};

// port n of chip p leads to place n, or to n + 1 where n is not below p
int peer_of(int chip, int port) { return port < chip ? port : port + 1; }
int port_to(int chip, int peer) { return peer < chip ? peer : peer - 1; }

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string, std::uint64_t> given = {
      {"stall", 0}, {"link_stall", 0},      {"latency", 4}, {"errors", 0}, {"dead", kChips},
      {"at", 0},    {"cut", kChips},        {"to", kChips}, {"seed", 1},   {"limit", 10000000},
  };
  for (int n = 2; n < argc; n++) {
    const std::string word = argv[n];
    const auto equals = word.find('=');
    if (equals == std::string::npos || !given.count(word.substr(0, equals))) {
      std::fprintf(stderr, "%s: no option of the bench\n", argv[n]);
      return 2;
    }
    given[word.substr(0, equals)] = std::strtoull(word.c_str() + equals + 1, nullptr, 10);
  }
  const auto requests = argc > 1 ? read_requests(argv[1]) : std::vector<Request>{};
  if (requests.empty()) {
    std::fprintf(stderr, "%s: no requests, or a damaged line\n", argc > 1 ? argv[1] : "no file");
    return 2;
  }
  const auto stall = given["stall"], link_stall = given["link_stall"], errors = given["errors"];
  const auto latency = given["latency"], limit = given["limit"], at = given["at"];
  const int dead = static_cast<int>(given["dead"]);
  const int cut = static_cast<int>(given["cut"]), to = static_cast<int>(given["to"]);
  Random random(given["seed"]);

  const auto context = std::make_unique<VerilatedContext>();
  const auto top = std::make_unique<Vmachine>(context.get());
  std::deque<std::pair<std::uint64_t, unsigned>> wires[kChips][kPorts];  // by where they come from
  std::uint64_t flipped = 0;
  std::uint64_t cycle = 0;

  top->in_valid = 0;
  top->out_ready = 0;
  for (int n = 0; n < kChips * kPorts; n++) {
    top->lanes_ready[n] = 0;
    top->lanes_valid[n] = 0;
    top->lanes_in[n] = 0;
  }
  top->rst = 1;
  for (int n = 0; n < 4; n++) {
    top->clk = n & 1;
    top->eval();
  }
  top->rst = 0;

  std::map<unsigned, Answer> answers;
  std::size_t request = 0, place = 0, ended = 0, tokens = 0;
  bool offered = false;
  const auto began = std::chrono::steady_clock::now();
  while (ended < requests.size() && cycle < limit && !top->fault) {
    // what is offered stays until it is taken
    if (request < requests.size() && (offered || !random.percent(stall))) {
      const Request& one = requests[request];
      offered = true;
      top->in_valid = 1;
      top->in_token = one.tokens[place];
      top->in_last = place + 1 == one.tokens.size();
      top->in_tag = one.tag;
      top->in_seed = one.seed;
      top->in_inverse = one.inverse;
      top->in_most = one.most;
    } else {
      top->in_valid = 0;
    }
    top->out_ready = !random.percent(stall);
    for (int chip = 0; chip < kChips; chip++) {
      for (int port = 0; port < kPorts; port++) {
        const int n = chip * kPorts + port, peer = peer_of(chip, port);
        auto& way = wires[peer][port_to(peer, chip)];
        const bool comes = !way.empty() && way.front().first <= cycle;
        top->lanes_valid[n] = comes;
        top->lanes_in[n] = comes ? way.front().second : 0;
        if (comes) way.pop_front();
        top->lanes_ready[n] = !random.percent(link_stall);
      }
    }
    top->clk = 0;
    top->eval();
    for (int chip = 0; chip < kChips; chip++) {
      for (int port = 0; port < kPorts; port++) {
        const int n = chip * kPorts + port;
        if (!top->lanes_ready[n]) continue;
        unsigned symbol = top->lanes_out[n];
        for (int lane = 0; errors && lane < kLanes; lane++) {
          if (random.next() % 1000000000 < errors) {
            symbol ^= 1U << lane;
            ++flipped;
          }
        }
        const bool severed = chip == dead || (chip == cut && peer_of(chip, port) == to);
        if (severed && cycle >= at) symbol = 0;
        wires[chip][port].emplace_back(cycle + 1 + latency, symbol);
      }
    }
    const bool taken = top->in_valid && top->in_ready;
    if (top->out_valid && top->out_ready) {
      Answer& answer = answers[top->out_tag];
      if (answer.tokens.empty()) answer.first = cycle;
      answer.tokens.push_back(top->out_token);
      answer.refused = top->out_refused;
      answer.last = cycle;
      ++tokens;
      if (top->out_last) ++ended;
    }
    top->clk = 1;
    top->eval();
    ++cycle;
    if (taken) {
      offered = false;
      if (++place == requests[request].tokens.size()) {
        place = 0;
        ++request;
      }
    }
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  if (top->fault) {
    std::fprintf(stderr, "chip %d's link to chip %d is %s, at cycle %llu\n",
                 static_cast<int>(top->fault_from), static_cast<int>(top->fault_to),
                 top->fault == 1 ? "silent" : "stuck", static_cast<unsigned long long>(cycle));
    return 4;
  }
  if (ended < requests.size()) {
    std::fprintf(stderr,
                 "no end after %llu cycles: %zu of %zu requests sent, %zu ended; in_valid %d in_ready "
                 "%d out_valid %d out_ready %d\n",
                 static_cast<unsigned long long>(cycle), request, requests.size(), ended,
                 top->in_valid, top->in_ready, top->out_valid, top->out_ready);
    return 3;
  }
  const auto again = top->frames_again;
  top->final();
  std::printf(
      "{\"cycles\": %llu, \"seconds\": %.6f, \"tokens\": %zu, \"flipped\": %llu, \"again\": %u, "
      "\"answers\": {",
      static_cast<unsigned long long>(cycle), seconds, tokens,
      static_cast<unsigned long long>(flipped), again);
  const char* comma = "";
  for (const auto& [tag, answer] : answers) {
    std::printf("%s\"%u\": {\"refused\": %s, \"first\": %llu, \"last\": %llu, \"tokens\": [", comma,
                tag, answer.refused ? "true" : "false",
                static_cast<unsigned long long>(answer.first),
                static_cast<unsigned long long>(answer.last));
    comma = ", ";
    const char* inner = "";
    for (const unsigned token : answer.tokens) {
      std::printf("%s%u", inner, token);
      inner = ", ";
    }
    std::printf("]}");
  }
  std::printf("}}\n");
  return 0;
}
