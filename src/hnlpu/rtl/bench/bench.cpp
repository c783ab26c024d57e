// Drives one array with the vectors of a file and holds every result to the file's own.
//
//     bench FILE [STALL PERCENT] [CYCLE LIMIT] [SEED]
//
// The file holds batches of 64-bit words, one lane a bit:
//     member, x[bit][input], y[neuron][bit]       (see README.md of the design)
// INPUT_WORDS and OUTPUT_WORDS say how many; BANK is defined where the array has members.
// Prints one line of JSON.  Ends with 0: all equal; 1: a result differs; 2: a bad file or argument;
// 3: the cycle limit was passed, with the state of the handshakes.

#include <verilated.h>

#include <bit>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <type_traits>
#include <vector>

#include "Vtop.h"

namespace {

constexpr std::size_t kBatchWords = 1 + INPUT_WORDS + OUTPUT_WORDS;

// Words of a wide port lie in order, the low half of each first.
static_assert(std::endian::native == std::endian::little);

std::vector<std::uint64_t> read_words(const char* path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return {};
  std::vector<std::uint64_t> words(static_cast<std::size_t>(file.tellg()) / 8);
  file.seekg(0);
  file.read(reinterpret_cast<char*>(words.data()), static_cast<std::streamsize>(words.size() * 8));
  return words;
}

class Random {  // xorshift64*
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 2 + 1) {}
  bool below(unsigned percent) {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return (state_ * 0x2545F4914F6CDD1DULL >> 33) % 100 < percent;
  }

 private:
  std::uint64_t state_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: bench FILE [STALL PERCENT] [CYCLE LIMIT] [SEED]\n");
    return 2;
  }
  const auto words = read_words(argv[1]);
  if (words.empty() || words.size() % kBatchWords != 0) {
    std::fprintf(stderr, "%s: no batches of %zu words\n", argv[1], kBatchWords);
    return 2;
  }
  const std::size_t batches = words.size() / kBatchWords;
  const unsigned stall = argc > 2 ? static_cast<unsigned>(std::atoi(argv[2])) : 0;
  const std::uint64_t limit =
      argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1000 + batches * STEPS * 100ULL;
  Random random(argc > 4 ? std::strtoull(argv[4], nullptr, 10) : 1);

  const auto context = std::make_unique<VerilatedContext>();
  context->commandArgs(argc, argv);
  const auto top = std::make_unique<Vtop>(context.get());
  static_assert(sizeof(top->x) >= INPUT_WORDS * 8 && sizeof(top->y) >= OUTPUT_WORDS * 8);

  top->rst = 1;
  top->in_valid = 0;
  top->out_ready = 0;
  for (int n = 0; n < 4; ++n) {
    top->clk = n & 1;
    top->eval();
  }
  top->rst = 0;

  std::size_t taken = 0, given = 0, wrong = 0, first_batch = 0, first_word = 0;
  std::uint64_t cycles = 0, bad_lanes = 0;
  const auto began = std::chrono::steady_clock::now();
  while (given < batches) {
    if (taken < batches) {
      const std::uint64_t* batch = &words[taken * kBatchWords];
      std::memcpy(&top->x, batch + 1, INPUT_WORDS * 8);
#ifdef BANK
      top->member = static_cast<std::remove_reference_t<decltype(top->member)>>(batch[0]);
#endif
    }
    top->in_valid = taken < batches && !random.below(stall);
    top->out_ready = !random.below(stall);
    top->clk = 0;
    top->eval();
    const bool take = top->in_valid && top->in_ready;
    if (top->out_valid && top->out_ready) {
      const std::uint64_t* expected = &words[given * kBatchWords + 1 + INPUT_WORDS];
      const auto* found = reinterpret_cast<const char*>(&top->y);
      if (given >= taken || std::memcmp(found, expected, OUTPUT_WORDS * 8) != 0) {
        for (std::size_t n = 0; n < OUTPUT_WORDS; ++n) {
          std::uint64_t word;
          std::memcpy(&word, found + 8 * n, 8);
          if (word == expected[n]) continue;
          if (bad_lanes == 0) {
            first_batch = given;
            first_word = n;
            bad_lanes = word ^ expected[n];
          }
        }
        ++wrong;
      }
      ++given;
    }
    top->clk = 1;
    top->eval();
    taken += take;
    if (++cycles > limit) {
      std::fprintf(stderr,
                   "no end after %llu cycles: in_valid %d in_ready %d out_valid %d out_ready %d, "
                   "%zu vectors taken, %zu results given of %zu\n",
                   static_cast<unsigned long long>(cycles), int(top->in_valid), int(top->in_ready),
                   int(top->out_valid), int(top->out_ready), taken, given, batches);
      return 3;
    }
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - began;
  top->final();
  std::printf("{\"batches\": %zu, \"cycles\": %llu, \"seconds\": %.6f, \"wrong\": %zu", batches,
              static_cast<unsigned long long>(cycles), seconds.count(), wrong);
  if (wrong != 0) {
    std::printf(", \"batch\": %zu, \"neuron\": %zu, \"lane\": %d", first_batch,
                first_word / TOTAL_BITS, std::countr_zero(bad_lanes));
  }
  std::printf("}\n");
  return wrong == 0 ? 0 : 1;
}
