"""Stop strings: what is shown is the text up to the first of them, however it arrives."""

from hypothesis import given
from hypothesis import strategies as st

from hnlpu.run.engine._stop_text import StopText

LETTERS = st.text("ab", max_size=6)


@given(pieces=st.lists(LETTERS, max_size=8), stops=st.lists(st.text("ab", min_size=1, max_size=4)))
def test_shown_text_is_the_text_before_the_stop(pieces, stops):
    stopper, shown, met, given_so_far = StopText(stops), "", None, ""
    for piece in pieces:
        text, met = stopper.push(piece)
        shown += text
        given_so_far += piece
        if met is not None:
            break
        assert not any(stop in given_so_far for stop in stops)
        # no more is held back than could begin a stop string
        assert any(stop.startswith(given_so_far[len(shown) :]) for stop in stops) or (
            shown == given_so_far
        )
    if met is None:
        assert shown + stopper.rest() == given_so_far
    else:
        assert shown == given_so_far[: min(at for s in stops if (at := given_so_far.find(s)) >= 0)]
        assert given_so_far[len(shown) :].startswith(met)
        assert stopper.rest() == ""
