// Drives one array with the vectors of a file and holds every result to the file's own.
//
//     bench FILE [STALL PERCENT] [CYCLE LIMIT] [SEED]
//
// The file holds batches of 64-bit words, one vector a bit:
//     member, x[bit][input], y[neuron][bit]       (see README.md of the design)
// Prints one line of JSON.  Ends with 0: all equal; 1: a result differs; 2: a bad file or argument;
// 3: the cycle limit was passed, with the state of the handshakes.

#include <cstdlib>
#include <memory>

#include "Vtop.h"
#include "drive.h"

#if VM_COVERAGE
#include <verilated_cov.h>
#endif

namespace {

constexpr std::size_t kBatchWords = 1 + INPUT_WORDS + OUTPUT_WORDS;

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: bench FILE [STALL PERCENT] [CYCLE LIMIT] [SEED]\n");
    return 2;
  }
  const auto words = read_words<std::uint64_t>(argv[1]);
  if (words.empty() || words.size() % kBatchWords != 0) {
    std::fprintf(stderr, "%s: no batches of %zu words\n", argv[1], kBatchWords);
    return 2;
  }
  const std::size_t batches = words.size() / kBatchWords;
  const unsigned stall = argc > 2 ? static_cast<unsigned>(std::atoi(argv[2])) : 0;
  const std::uint64_t limit = argc > 3 ? std::strtoull(argv[3], nullptr, 10)
                                       : 1000 + batches * (64 / LANES) * STEPS * 100ULL;
  Random random(argc > 4 ? std::strtoull(argv[4], nullptr, 10) : 1);

  const auto context = std::make_unique<VerilatedContext>();
  context->commandArgs(argc, argv);
  const auto top = std::make_unique<Vtop>(context.get());
  static_assert(sizeof(top->x) * 8 >= INPUT_WORDS * LANES);
  static_assert(sizeof(top->y) * 8 >= OUTPUT_WORDS * LANES);
  reset(*top);
  const auto batch = [&words](std::size_t n) {
    const std::uint64_t* first = &words[n * kBatchWords];
    return Batch{first[0], first + 1, first + 1 + INPUT_WORDS};
  };
  const auto nothing = [](Vtop&) {};
  const Outcome found = drive(*top, batches, batch, stall, limit, random, nothing, nothing);
  if (!found.ended) return 3;
  top->final();
#if VM_COVERAGE
  context->coveragep()->write("coverage.dat");
#endif
  std::printf("{\"batches\": %zu, \"cycles\": %llu, \"seconds\": %.6f, \"wrong\": %zu", batches,
              static_cast<unsigned long long>(found.cycles), found.seconds, found.wrong);
  if (found.wrong != 0) {
    std::printf(", \"batch\": %zu, \"neuron\": %zu, \"lane\": %d", found.batch,
                found.word / TOTAL_BITS, found.lane);
  }
  std::printf("}\n");
  return found.wrong == 0 ? 0 : 1;
}
