"""3GPP measurement files give the same rows in each form of XML, and in pieces of any size."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pm3gpp import CELL, CELL_8, collection, data, info, listed, rows_of, value

texts = st.sampled_from(["5", "0", "-3.25", "NIL", "", " 7 ", "1e3", "&#53;", "x", "<!-- 1 -->2", "12345678901234"])
objects = st.sampled_from([CELL, CELL_8, "NRCellDU=é", "A=1,B=2", "", "NRCellCU=7&amp;8"])
spaces = st.sampled_from(["", "\n", "  ", "\r\n\t"])


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Files of which some objects are written plainly and some are not."""
    infos = []
    for _ in range(draw(st.integers(1, 3))):
        count = draw(st.integers(0, 3))
        between = draw(spaces)
        types = between.join(
            f'<measType p="{draw(st.sampled_from([place, place, 1]))}">C{place}</measType>'
            for place in range(1, count + 1)
        )
        values = []
        for _ in range(draw(st.integers(0, 4))):
            results = draw(st.lists(texts, min_size=max(count - 1, 0), max_size=count + 1))
            also = draw(st.sampled_from(["", "", "<suspect>true</suspect>", "<suspect/>", "<v/>"]))
            if draw(st.booleans()):
                values.append(value(*results, of=draw(objects), also=between + also).replace("<r", f"{between}<r"))
            else:
                values.append(listed(" ".join(results), draw(objects), between + also))
        infos.append(info(*values, types=types) + between)
    return collection(data(*infos))


@settings(max_examples=100, deadline=None)
@given(documents(), st.integers(1, 400))
def test_objects_that_are_written_plainly_are_read_as_all_others(text, pieces):
    names = "object suspect counter value end cell"
    rows = rows_of(text.encode(), names)
    # Expat reads all of a file with a comment.
    assert rows_of(text.replace("<measData>", "<measData><!-- -->").encode(), names) == rows
    assert rows_of(text.encode(), names, pieces) == rows
