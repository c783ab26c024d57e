// Two ends of a link, joined by wires that stall, delay and damage what passes.
//
//     link WORDS STALL ERRORS LATENCY FAULT AT SEED LIMIT [SYMBOLS]
//
// Every end sends WORDS words of random bits, and takes those of the other in order; `take` and wires
// are withheld STALL percent of the cycles, and ERRORS of 10^9 bits are inverted on their way.  At cycle AT:
// FAULT 0 nothing, 1 the second end is gone, 2 the wire from the first to the second is held at zero,
// 3 at ones.  SYMBOLS is a file for what the first end puts on its lanes, a byte each.  Prints one line of JSON.  Ends with 0, with 3 where a word came damaged or out of order.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <memory>
#include <vector>

#include "Vlink.h"
#include "verilated.h"

namespace {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ULL + 1) {}
  std::uint64_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_ * 0x2545f4914f6cdd1dULL >> 16;
  }
  bool one_of(std::uint64_t part, std::uint64_t whole) { return next() % whole < part; }

 private:
  std::uint64_t state_;
};

constexpr int kWords = BITS / 32;
using Word = std::vector<std::uint32_t>;

struct Wire {
  std::deque<std::pair<std::uint64_t, unsigned>> way;  // when a symbol arrives, and what
};

struct End {
  std::unique_ptr<Vlink> link;
  Random words;
  std::size_t sent = 0;
  std::size_t taken = 0;
  bool offered = false;
  std::uint64_t replays = 0;
  std::uint64_t discarded = 0;
  std::uint64_t fault_at = 0;
};

Word make(Random& random) {
  Word word(kWords);
  for (auto& part : word) part = static_cast<std::uint32_t>(random.next());
  return word;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 9) return 2;
  const std::size_t words = std::strtoull(argv[1], nullptr, 10);
  const unsigned stall = std::atoi(argv[2]);
  const std::uint64_t errors = std::strtoull(argv[3], nullptr, 10);
  const std::uint64_t latency = std::strtoull(argv[4], nullptr, 10);
  const int fault = std::atoi(argv[5]);
  const std::uint64_t at = std::strtoull(argv[6], nullptr, 10);
  const std::uint64_t seed = std::strtoull(argv[7], nullptr, 10);
  const std::uint64_t limit = std::strtoull(argv[8], nullptr, 10);

  std::ofstream symbols;
  if (argc > 9) symbols.open(argv[9], std::ios::binary);

  Random random(seed);
  const auto context = std::make_unique<VerilatedContext>();
  End ends[2] = {{std::make_unique<Vlink>(context.get(), "a"), Random(seed + 100)},
                 {std::make_unique<Vlink>(context.get(), "b"), Random(seed + 200)}};
  Random expected[2] = {Random(seed + 200), Random(seed + 100)};
  Wire wires[2];  // from the first, from the second
  Word offered[2];
  std::uint64_t flipped = 0, bits = 0, cycle = 0;
  bool ready[2] = {false, false};

  for (auto& end : ends) {
    end.link->rst = 1;
    for (int n = 0; n < 4; n++) {
      end.link->clk = n & 1;
      end.link->eval();
    }
    end.link->rst = 0;
  }
  const auto done = [&] {
    return ends[0].taken == words && ends[1].taken == words;
  };
  bool faulty = false;
  for (; cycle < limit && !done() && !(faulty && cycle > ends[0].fault_at + 10); ++cycle) {
    for (int n = 0; n < 2; n++) {
      End& end = ends[n];
      Vlink& link = *end.link;
      if (end.sent < words && !end.offered && random.next() % 100 >= stall) {
        offered[n] = make(end.words);
        end.offered = true;
      }
      link.send_valid = end.offered;
      if (end.offered) std::memcpy(link.send_data.data(), offered[n].data(), 4 * kWords);
      link.take_ready = random.next() % 100 >= stall;
      link.status = n ? 0x15 : 0x2a;
      ready[n] = random.next() % 100 >= stall;
      link.out_ready = ready[n];
      auto& way = wires[1 - n].way;
      link.in_valid = !way.empty() && way.front().first <= cycle;
      link.in_lanes = link.in_valid ? way.front().second : 0;
      if (link.in_valid) way.pop_front();
      link.clk = 0;
      link.eval();
    }
    for (int n = 0; n < 2; n++) {
      if (fault == 1 && n == 1 && cycle >= at) continue;
      End& end = ends[n];
      Vlink& link = *end.link;
      if (link.send_valid && link.send_ready) {
        end.offered = false;
        ++end.sent;
      }
      if (link.take_valid && link.take_ready) {
        const Word want = make(expected[n]);
        if (std::memcmp(want.data(), link.take_data.data(), 4 * kWords) != 0) {
          std::fprintf(stderr, "cycle %llu: word %zu of end %d is another\n",
                       static_cast<unsigned long long>(cycle), end.taken, n);
          return 3;
        }
        ++end.taken;
      }
      end.replays += link.replayed;
      end.discarded += link.discarded;
      if (link.fault && !end.fault_at) {
        end.fault_at = cycle;
        if (n == 0) faulty = true;
      }
      if (ready[n]) {
        unsigned symbol = link.out_lanes;
        if (n == 0 && symbols.is_open()) symbols.put(static_cast<char>(symbol));
        for (int lane = 0; lane < LANES; lane++) {
          ++bits;
          if (errors && random.one_of(errors, 1000000000)) {
            symbol ^= 1U << lane;
            ++flipped;
          }
        }
        if (n == 0 && cycle >= at && fault == 2) symbol = 0;
        if (n == 0 && cycle >= at && fault == 3) symbol = static_cast<unsigned>((1ULL << LANES) - 1);
        wires[n].way.emplace_back(cycle + 1 + latency, symbol);
      }
    }
    for (int n = 0; n < 2; n++) {
      if (fault == 1 && n == 1 && cycle >= at) continue;
      ends[n].link->clk = 1;
      ends[n].link->eval();
    }
  }
  std::printf(
      "{\"cycles\": %llu, \"sent\": [%zu, %zu], \"taken\": [%zu, %zu], \"replays\": [%llu, %llu], "
      "\"discarded\": [%llu, %llu], \"fault\": [%d, %d], \"fault_at\": [%llu, %llu], \"bits\": %llu, "
      "\"flipped\": %llu, \"peer_status\": [%d, %d]}\n",
      static_cast<unsigned long long>(cycle), ends[0].sent, ends[1].sent, ends[0].taken,
      ends[1].taken, static_cast<unsigned long long>(ends[0].replays),
      static_cast<unsigned long long>(ends[1].replays),
      static_cast<unsigned long long>(ends[0].discarded),
      static_cast<unsigned long long>(ends[1].discarded), ends[0].link->fault, ends[1].link->fault,
      static_cast<unsigned long long>(ends[0].fault_at),
      static_cast<unsigned long long>(ends[1].fault_at), static_cast<unsigned long long>(bits),
      static_cast<unsigned long long>(flipped), ends[0].link->peer_status,
      ends[1].link->peer_status);
  return 0;
}
