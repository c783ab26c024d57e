"""Labels in columns say what labels one by one say."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hnlpu.silicon.embed import Label, join_labels, label_table
from hnlpu.silicon.embed._labels import pin_labels

labels = st.lists(
    st.builds(
        Label, st.tuples(st.integers(0, 2**15), st.integers(0, 2**15)),
        st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=9),
        st.integers(-(2**30), 2**30), st.integers(-(2**30), 2**30),
    ),
    max_size=6,
)  # fmt: skip


@given(labels, labels)
def test_columns_hold_labels(some: list[Label], more: list[Label]) -> None:
    table = label_table(some)
    assert list(table) == some
    assert [table[n] for n in range(len(some))] == some
    assert [table[n] for n in range(-len(some), 0)] == some
    assert table[1:] == some[1:]
    assert list(join_labels([table, label_table(more)])) == some + more
    assert list(join_labels([])) == []
    assert (table == label_table(more)) == (some == more)
    assert label_table(table) is table


@settings(max_examples=20)
@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=5), st.integers(1, 3))
def test_names_are_a_letter_and_numbers(numbers: list[int], columns: int) -> None:
    row = np.array(numbers)
    table = pin_labels((7, 10), "c", [row, row // 2, row % 10][:columns], row + 5, np.array(3))
    assert list(table) == [
        Label((7, 10), "c" + ".".join(map(str, (n, n // 2, n % 10)[:columns])), n + 5, 3)
        for n in numbers
    ]


def test_names_of_a_table_are_broadcast() -> None:
    row, column = np.arange(2)[:, None], np.arange(11)
    table = pin_labels((1, 10), "p", (row, column), column * 10, row * 7)
    assert [label.text for label in table] == [f"p{r}.{c}" for r in range(2) for c in range(11)]
    assert table[21] == Label((1, 10), "p1.10", 100, 7)
