"""Instructions: the package that SystemVerilog reads says what the assembler writes."""

import re
from dataclasses import fields
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hnlpu.silicon.rtl.chip import Instruction, Op, Operand, instruction_package
from hnlpu.silicon.rtl.chip._instructions import FIELDS, WORD_BITS

FILE = files("hnlpu.silicon.rtl") / "chip" / "silicon" / "hnlpu_chip_pkg.sv"
PACKAGE = FILE.read_text(encoding="utf-8")
BITS = {part.name: part.bits for part in FIELDS}


def declared(kind):
    """Width and names of an enumeration of the package, as a reader of SystemVerilog finds them."""
    found = re.search(r"typedef enum logic \[(\d+):0\] \{([^}]*)\} " + kind + ";", PACKAGE)
    members = re.findall(r"(\w+)\s*= (\d+)'d(\d+)", found[2])
    width = int(found[1]) + 1
    assert {int(bits) for _, bits, _ in members} == {width}
    return width, {name: int(number) for name, _, number in members}


def word_of_package():
    """Name and width of every field of instruction_t, in order."""
    body = re.search(r"typedef struct packed \{([^}]*)\} instruction_t;", PACKAGE)[1]
    widths = {
        "logic": 1,
        "opcode_t": declared("opcode_t")[0],
        "operand_t": declared("operand_t")[0],
    }
    for kind, high, name in re.findall(r"^    (\w+)(?: \[(\d+):0\])?\s+(\w+);", body, re.M):
        yield name, int(high) + 1 if high else widths[kind]


def test_the_file_is_made_of_the_table():
    assert instruction_package() == PACKAGE, "run python scripts/instruction_package.py"


@pytest.mark.parametrize(("kind", "ours"), [("opcode_t", Op), ("operand_t", Operand)])
def test_names_have_the_numbers_of_the_package(kind, ours):
    width, names = declared(kind)
    assert names == {member.name: int(member) for member in ours}
    assert sorted(names.values()) == list(range(len(ours)))
    assert len(ours) <= 1 << width


def test_an_instruction_has_the_fields_of_the_package():
    assert [name for name, _ in word_of_package()] == [field.name for field in fields(Instruction)]


@given(st.fixed_dictionaries(
    {"op": st.sampled_from(Op), "operand": st.sampled_from(Operand)}
    | {name: st.integers(0, (1 << bits) - 1) for name, bits in BITS.items() if "op" not in name}
))  # fmt: skip
def test_a_word_read_by_the_package_is_the_instruction(values):
    word, low = Instruction(**values).word(), WORD_BITS
    for name, bits in word_of_package():
        low -= bits
        assert word >> low & ((1 << bits) - 1) == values[name], name
    assert low == 0
    assert word < 1 << WORD_BITS


def test_comments_of_ranks_name_the_field_that_holds_them():
    for member in (Op.TOP, Operand.SHARE):
        assert "`rank`" in member.says
        assert re.search(rf"{member.name} .*// .*`rank`", PACKAGE)
