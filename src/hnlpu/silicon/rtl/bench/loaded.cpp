// Drives GROUP neurons with the metal of one group of neurons of an array after the other.
//
//     loaded VECTORS GROUPS [STALLED BATCHES] [CYCLE LIMIT]
//
// The design is an array's silicon without wiring; metal.h lists its ports to metal (sources; early ones
// stand at the beginning of a cycle, late ones depend on sinks) and from metal (sinks).
// VECTORS holds batches of 64-bit words: member, x[bit][input].  GROUPS holds per group of neurons
//     a number for every word of every sink, 32 bits each: 0 ground, 1 power, else 2 + a word of
//     the sources; one more if they are odd
//     y[batch][neuron][bit], 64 bits each: what is expected
// Every group takes all batches at full speed and the first ones again with in_valid and out_ready
// withheld in 40 % of the cycles.  Prints one line of JSON; ends as bench.cpp does.

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "Vtop.h"
#include "drive.h"
#include "metal.h"

namespace {

#define WORDS(port, words) +words
#define FITS(port, words) static_assert(sizeof(Vtop::port) >= words * 8);
constexpr std::size_t kEarly = 0 EARLY_SOURCES(WORDS);
constexpr std::size_t kSources = kEarly LATE_SOURCES(WORDS);
constexpr std::size_t kSinks = 0 SINKS(WORDS);
constexpr std::size_t kSuppliedWords = 2;
constexpr unsigned kStall = 40;
constexpr std::size_t kVectorWords = 1 + INPUT_WORDS;

class Metal {
 public:
  // The numbers of a group: where each sink's words come from, and when.
  explicit Metal(const std::uint32_t* numbers) : numbers_(numbers), words_(kSuppliedWords + kSources) {
    words_[1] = ~0ULL;
    const std::uint32_t* first = numbers;
#define LOOK(port, words)                                          \
  last_.push_back(*std::max_element(first, first + words));        \
  first += words;
    SINKS(LOOK)
#undef LOOK
  }

  bool valid() const {
    return *std::max_element(last_.begin(), last_.end()) < kSuppliedWords + kSources;
  }

  void supply(Vtop& top) { join(top, 0, kSuppliedWords); }

  void early(Vtop& top) {
    std::uint64_t* to = &words_[kSuppliedWords];
#define READ(port, words)                 \
  std::memcpy(to, &top.port, words * 8);  \
  to += words;
    EARLY_SOURCES(READ)
    join(top, kSuppliedWords, kSuppliedWords + kEarly);
  }

  void late([[maybe_unused]] Vtop& top) {
    [[maybe_unused]] std::uint64_t* to = &words_[kSuppliedWords + kEarly];
    LATE_SOURCES(READ)
#undef READ
    join(top, kSuppliedWords + kEarly, kSuppliedWords + kSources);
  }

 private:
  // Joins the sinks whose last word lies in a range.
  void join(Vtop& top, std::size_t from, std::size_t to) {
    const std::uint32_t* where = numbers_;
    std::size_t sink = 0;
#define JOIN(port, words)                                                \
  if (last_[sink] >= from && last_[sink] < to) {                         \
    auto* bytes = reinterpret_cast<char*>(&top.port);                    \
    for (std::size_t n = 0; n < words; ++n)                              \
      std::memcpy(bytes + 8 * n, &words_[where[n]], 8);                  \
  }                                                                      \
  where += words;                                                        \
  ++sink;
    SINKS(JOIN)
#undef JOIN
  }

  const std::uint32_t* numbers_;
  std::vector<std::uint64_t> words_;  // ground, power, sources
  std::vector<std::uint32_t> last_;   // largest number of each sink
};

EARLY_SOURCES(FITS)
LATE_SOURCES(FITS)
SINKS(FITS)

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: loaded VECTORS GROUPS [STALLED BATCHES] [CYCLE LIMIT]\n");
    return 2;
  }
  const auto vectors = read_words<std::uint64_t>(argv[1]);
  const std::size_t batches = vectors.size() / kVectorWords;
  const auto groups = read_words<std::uint32_t>(argv[2]);
  const std::size_t numbers = (kSinks + 1) / 2 * 2;
  const std::size_t group_words = numbers + 2 * batches * OUTPUT_WORDS;
  if (batches == 0 || vectors.size() % kVectorWords != 0 || groups.empty() ||
      groups.size() % group_words != 0) {
    std::fprintf(stderr, "%s, %s: no groups of %zu batches\n", argv[1], argv[2], batches);
    return 2;
  }
  const std::size_t stalled = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 0;
  const std::uint64_t limit =
      argc > 4 ? std::strtoull(argv[4], nullptr, 10) : 1000 + batches * STEPS * 100ULL;
  Random random(1);

  const auto context = std::make_unique<VerilatedContext>();
  context->commandArgs(argc, argv);
  const auto top = std::make_unique<Vtop>(context.get());
  reset(*top);
  std::uint64_t cycles = 0;
  double seconds = 0;
  for (std::size_t group = 0; group < groups.size() / group_words; ++group) {
    const std::uint32_t* first = &groups[group * group_words];
    Metal metal(first);
    if (!metal.valid()) {
      std::fprintf(stderr, "%s: group %zu hangs on a word that is none\n", argv[2], group);
      return 2;
    }
    metal.supply(*top);
    const auto* y = reinterpret_cast<const std::uint64_t*>(first + numbers);
    const auto batch = [&vectors, y](std::size_t n) {
      const std::uint64_t* one = &vectors[n * kVectorWords];
      return Batch{one[0], one + 1, y + n * OUTPUT_WORDS};
    };
    const auto early = [&metal](Vtop& design) { metal.early(design); };
    const auto late = [&metal](Vtop& design) { metal.late(design); };
    for (const unsigned stall : {0U, kStall}) {
      const std::size_t count = stall == 0 ? batches : std::min(stalled, batches);
      const Outcome found = drive(*top, count, batch, stall, limit, random, early, late);
      if (!found.ended) return 3;
      if (stall == 0) {
        cycles += found.cycles;
        seconds += found.seconds;
      }
      if (found.wrong == 0) continue;
      std::printf("{\"wrong\": %zu, \"batches\": %zu, \"stall\": %u, \"neuron\": %zu, "
                  "\"batch\": %zu, \"lane\": %d}\n",
                  found.wrong, count, stall, group * GROUP + found.word / TOTAL_BITS, found.batch,
                  found.lane);
      return 1;
    }
  }
  top->final();
  std::printf("{\"wrong\": 0, \"batches\": %zu, \"cycles\": %llu, \"seconds\": %.6f}\n", batches,
              static_cast<unsigned long long>(cycles), seconds);
  return 0;
}
