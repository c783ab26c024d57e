// Takes vectors through an array by its handshakes and holds every result to the one expected.
//
// Vectors come in batches of 64, one a bit of every 64-bit word.  LANES is 64: a batch goes through at
// once; or 1, as in hardware: one vector after the other.
// INPUT_WORDS and OUTPUT_WORDS are the words of a batch's x and y, STEPS the cycles of a product, and
// BANK is defined where the array has members.

#pragma once

#include <verilated.h>

#include <bit>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <type_traits>
#include <vector>

#ifndef LANES
#define LANES 64
#endif

// Words of a wide port lie in order, the low half of each first.
static_assert(std::endian::native == std::endian::little);
static_assert(LANES == 64 || LANES == 1);

template <class Word>
std::vector<Word> read_words(const char* path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return {};
  std::vector<Word> words(static_cast<std::size_t>(file.tellg()) / sizeof(Word));
  file.seekg(0);
  file.read(reinterpret_cast<char*>(words.data()),
            static_cast<std::streamsize>(words.size() * sizeof(Word)));
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

struct Batch {
  std::uint64_t member;
  const std::uint64_t* x;  // [bit][input]
  const std::uint64_t* y;  // [neuron][bit]
};

struct Outcome {
  bool ended = false;
  std::uint64_t cycles = 0;
  double seconds = 0;
  std::size_t wrong = 0;  // results that differ; the first one's batch, word and lane
  std::size_t batch = 0;
  std::size_t word = 0;
  int lane = 0;
};

// One batch's words at a port, or one lane of them.
template <class Port>
void put(Port& port, const std::uint64_t* words, std::size_t count, std::size_t lane) {
  auto* bytes = reinterpret_cast<unsigned char*>(&port);
  if constexpr (LANES == 64) {
    std::memcpy(bytes, words, count * 8);
    return;
  }
  std::memset(bytes, 0, (count + 7) / 8);
  for (std::size_t n = 0; n < count; ++n) bytes[n / 8] |= (words[n] >> lane & 1) << (n % 8);
}

// Lanes of word n at a port that differ from what is expected.
template <class Port>
std::uint64_t differing(const Port& port, const std::uint64_t* expected, std::size_t n,
                        std::size_t lane) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(&port);
  if constexpr (LANES == 64) {
    std::uint64_t word;
    std::memcpy(&word, bytes + 8 * n, 8);
    return word ^ expected[n];
  }
  return ((bytes[n / 8] >> (n % 8) & 1) ^ (expected[n] >> lane & 1)) << lane;
}

template <class Top>
void reset(Top& top) {
  top.rst = 1;
  top.in_valid = 0;
  top.out_ready = 0;
  for (int n = 0; n < 4; ++n) {
    top.clk = n & 1;
    top.eval();
  }
  top.rst = 0;
}

// Runs `count` batches, each given by `batch(n)`, with in_valid and out_ready withheld in `stall`
// percent of the cycles.  `before` and `between` join ports in every cycle: before the design settles,
// and between that and the clock's edge.  Past `limit` cycles the handshakes are printed.
template <class Top, class Get, class Before, class Between>
Outcome drive(Top& top, std::size_t count, Get batch, unsigned stall, std::uint64_t limit,
              Random& random, Before before, Between between) {
  constexpr std::size_t kTurns = 64 / LANES;
  const std::size_t vectors = count * kTurns;
  Outcome outcome;
  std::size_t taken = 0, given = 0;
  const auto began = std::chrono::steady_clock::now();
  while (given < vectors) {
    if (taken < vectors) {
      const Batch next = batch(taken / kTurns);
      put(top.x, next.x, INPUT_WORDS, taken % kTurns);
#ifdef BANK
      top.member = static_cast<std::remove_reference_t<decltype(top.member)>>(next.member);
#endif
    }
    top.in_valid = taken < vectors && !random.below(stall);
    top.out_ready = !random.below(stall);
    top.clk = 0;
    before(top);
    top.eval();
    const bool take = top.in_valid && top.in_ready;
    if (top.out_valid && top.out_ready) {
      const std::uint64_t* expected = batch(given / kTurns).y;
      bool right = given < taken;  // a result that was asked for
      if (!right && outcome.wrong == 0) outcome.batch = given / kTurns;
      for (std::size_t n = 0; n < OUTPUT_WORDS; ++n) {
        const std::uint64_t bad = differing(top.y, expected, n, given % kTurns);
        if (bad == 0) continue;
        if (right && outcome.wrong == 0) {
          outcome.batch = given / kTurns;
          outcome.word = n;
          outcome.lane = std::countr_zero(bad);
        }
        right = false;
      }
      outcome.wrong += !right;
      ++given;
    }
    between(top);
    top.clk = 1;
    top.eval();
    taken += take;
    if (++outcome.cycles > limit) {
      std::fprintf(stderr,
                   "no end after %llu cycles: in_valid %d in_ready %d out_valid %d out_ready %d, "
                   "%zu vectors taken, %zu results given of %zu\n",
                   static_cast<unsigned long long>(outcome.cycles), int(top.in_valid),
                   int(top.in_ready), int(top.out_valid), int(top.out_ready), taken, given, vectors);
      return outcome;
    }
  }
  outcome.ended = true;
  outcome.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  return outcome;
}
