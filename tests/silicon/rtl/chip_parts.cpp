// Drives one module: a line of words in, a line of words out, every cycle.
//
//     parts MODEL INPUT OUTPUT [COVERAGE]
//
// Files hold words of 32 bits, as many a cycle as the port `in` or `out` has.  What is written is the
// output before the clock's edge.  Ends with 0, or 2 for an unknown model or file.

#include <cstdio>
#include <memory>
#include <string>

#include "models.h"
#include "verilated.h"
#if VM_COVERAGE
#include "verilated_cov.h"
#endif

namespace {

template <class Model>
int run(int argc, char** argv) {
  const auto context = std::make_unique<VerilatedContext>();
  context->commandArgs(argc, argv);
  const auto top = std::make_unique<Model>(context.get());
  std::FILE* sent = std::fopen(argv[2], "rb");
  std::FILE* got = std::fopen(argv[3], "wb");
  if (!sent || !got) return 2;
  while (std::fread(top->in.data(), sizeof(top->in), 1, sent) == 1) {
    top->clk = 0;
    top->eval();
    std::fwrite(top->out.data(), sizeof(top->out), 1, got);
    top->clk = 1;
    top->eval();
  }
  std::fclose(sent);
  std::fclose(got);
  top->final();
#if VM_COVERAGE
  if (argc > 4) context->coveragep()->write(argv[4]);
#endif
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
#define TRY(MODEL) \
  if (std::string(argv[1]) == #MODEL) return run<MODEL>(argc, argv);
  MODELS(TRY)
  return 2;
}
