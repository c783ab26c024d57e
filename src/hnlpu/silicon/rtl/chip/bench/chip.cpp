// Sends requests to a chip and prints the tokens that come back.
//
//     chip FILE [STALL PERCENT] [CYCLE LIMIT] [SEED] [TRACE]
//
// The file has a line a request: tag seed inverse most n token*n.  Where a position is several 32-bit
// numbers, or an answer is, they stand for a token, the lowest first.  With stalls, in_valid and
// out_ready are withheld at random; a request's prompt starts when the one before it has been sent.
// Prints one line of JSON.  Ends with 0: every request ended; 2: a bad file or argument; 3: the
// cycle limit was passed, with the state of the handshakes.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

#include "Vchip.h"
#include "verilated.h"
#if VM_COVERAGE
#include "verilated_cov.h"
#endif
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

namespace {

struct Request {
  unsigned tag;
  std::uint64_t seed;
  unsigned inverse;
  unsigned most;
  std::vector<unsigned> tokens;  // of signals: 32-bit words, a position's one behind the other
};

struct Answer {
  std::vector<unsigned> tokens;
  bool refused = false;
  std::uint64_t first = 0;
  std::uint64_t last = 0;
};

template <typename Port>
constexpr std::size_t words = sizeof(Port) < 4 ? 1 : sizeof(Port) / 4;
constexpr std::size_t kIn = words<decltype(Vchip::in_token)>;

template <typename Port>
void put(Port& port, const unsigned* from) {
  if constexpr (std::is_integral_v<std::remove_reference_t<Port>>) {
    std::uint64_t value = from[0];
    if constexpr (sizeof(Port) == 8) value |= static_cast<std::uint64_t>(from[1]) << 32;
    port = static_cast<Port>(value);
  } else {
    for (std::size_t n = 0; n < words<Port>; ++n) port[n] = from[n];
  }
}

template <typename Port>
void get(const Port& port, std::vector<unsigned>& to) {
  if constexpr (std::is_integral_v<std::remove_reference_t<Port>>) {
    to.push_back(static_cast<unsigned>(port));
    if constexpr (sizeof(Port) == 8) to.push_back(static_cast<unsigned>(port >> 32));
  } else {
    for (std::size_t n = 0; n < words<Port>; ++n) to.push_back(port[n]);
  }
}

std::vector<Request> read_requests(const char* path) {
  std::vector<Request> requests;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    Request one{};
    std::size_t n = 0;
    if (!(words >> one.tag >> one.seed >> one.inverse >> one.most >> n) || n == 0) return {};
    one.tokens.resize(n * kIn);
    for (auto& token : one.tokens) {
      if (!(words >> token)) return {};
    }
    requests.push_back(std::move(one));
  }
  return requests;
}

// xorshift, for stalls alone
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 2654435761ULL + 1) {}
  unsigned percent() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return static_cast<unsigned>((state_ >> 32) % 100);
  }

 private:
  std::uint64_t state_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: chip FILE [STALL PERCENT] [CYCLE LIMIT] [SEED] [TRACE]\n");
    return 2;
  }
  const auto requests = read_requests(argv[1]);
  if (requests.empty()) {
    std::fprintf(stderr, "%s: no requests, or a damaged line\n", argv[1]);
    return 2;
  }
  const unsigned stall = argc > 2 ? static_cast<unsigned>(std::atoi(argv[2])) : 0;
  const std::uint64_t limit = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 10000000ULL;
  Random random(argc > 4 ? std::strtoull(argv[4], nullptr, 10) : 1);

  const auto context = std::make_unique<VerilatedContext>();
  context->commandArgs(argc, argv);
  const auto top = std::make_unique<Vchip>(context.get());
#if VM_TRACE
  std::unique_ptr<VerilatedVcdC> trace;
  if (argc > 5) {
    context->traceEverOn(true);
    trace = std::make_unique<VerilatedVcdC>();
    top->trace(trace.get(), 99);
    trace->open(argv[5]);
  }
#endif
  std::uint64_t cycle = 0;
  const auto step = [&] {
    top->clk = 0;
    top->eval();
#if VM_TRACE
    if (trace) trace->dump(2 * cycle);
#endif
    top->clk = 1;
    top->eval();
#if VM_TRACE
    if (trace) trace->dump(2 * cycle + 1);
#endif
    ++cycle;
  };

  top->in_valid = 0;
  top->out_ready = 0;
  top->rst = 1;
  step();
  step();
  top->rst = 0;

  std::map<unsigned, Answer> answers;
  std::size_t request = 0;
  std::size_t place = 0;
  std::size_t ended = 0;
  std::size_t tokens = 0;
  bool offered = false;
  const auto began = std::chrono::steady_clock::now();
  while (ended < requests.size() && cycle < limit) {
    const bool more = request < requests.size();
    // what is offered stays until it is taken
    if (more && (offered || random.percent() >= stall)) {
      const Request& one = requests[request];
      offered = true;
      top->in_valid = 1;
      put(top->in_token, one.tokens.data() + place * kIn);
      top->in_last = (place + 1) * kIn == one.tokens.size();
      top->in_tag = one.tag;
      top->in_seed = one.seed;
      top->in_inverse = one.inverse;
      top->in_most = one.most;
    } else {
      top->in_valid = 0;
    }
    top->out_ready = random.percent() >= stall;
    top->clk = 0;
    top->eval();
    const bool taken = top->in_valid && top->in_ready;
    if (top->out_valid && top->out_ready) {
      Answer& answer = answers[top->out_tag];
      if (answer.tokens.empty()) answer.first = cycle;
      get(top->out_token, answer.tokens);
      answer.refused = top->out_refused;
      answer.last = cycle;
      ++tokens;
      if (top->out_last) ++ended;
    }
#if VM_TRACE
    if (trace) trace->dump(2 * cycle);
#endif
    top->clk = 1;
    top->eval();
#if VM_TRACE
    if (trace) trace->dump(2 * cycle + 1);
#endif
    ++cycle;
    if (taken) {
      offered = false;
      if (++place * kIn == requests[request].tokens.size()) {
        place = 0;
        ++request;
      }
    }
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  if (ended < requests.size()) {
    std::fprintf(stderr,
                 "no end after %llu cycles: %zu of %zu requests sent, %zu ended; in_valid %d in_ready "
                 "%d out_valid %d out_ready %d\n",
                 static_cast<unsigned long long>(cycle), request, requests.size(), ended,
                 top->in_valid, top->in_ready, top->out_valid, top->out_ready);
    return 3;
  }
  top->final();
#if VM_COVERAGE
  context->coveragep()->write("coverage.dat");
#endif
  std::printf("{\"cycles\": %llu, \"seconds\": %.6f, \"tokens\": %zu, \"answers\": {",
              static_cast<unsigned long long>(cycle), seconds, tokens);
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
