"""Write the SystemVerilog package of a chip's instructions from their table:

python scripts/instruction_package.py
"""

from pathlib import Path

from hnlpu.silicon.rtl.chip import instruction_package

CHIP = Path(__file__).parents[1] / "src" / "hnlpu" / "silicon" / "rtl" / "chip"

if __name__ == "__main__":
    path = CHIP / "silicon" / "hnlpu_chip_pkg.sv"
    path.write_text(instruction_package(), encoding="utf-8", newline="\n")
    print(path)
