"""What is taken over from JSON in one go is what the shape makes of it, or nothing: for any shape and any object."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datahub_poller.decode import datahub
from datahub_poller.decode.shapes import HEXADECIMAL, TEXT, TEXTS, WHOLE, Field, RecordShape, Unfit, untagged
from datahub_poller.decode.taking import taker_of
from support.avro import same
from support.decoding import ENTITY_CHANGE, RELATIONSHIP_CHANGE

SHAPES = {event_type: shape for event_type, (_, shape) in datahub._TAKERS.items()}
NAMES = ("a", "b", "it's", "string", "map")
LEAVES = (TEXT, WHOLE, HEXADECIMAL, TEXTS, untagged("string", TEXT), untagged("map", TEXTS))

SCALARS = st.none() | st.booleans() | st.integers(-(2**64), 2**64) | st.floats() | st.text(max_size=3)
TEXT_MAPS = st.dictionaries(st.sampled_from(NAMES), st.text(max_size=3), max_size=2)
JSON = st.recursive(
    SCALARS | TEXT_MAPS,
    lambda each: st.lists(each, max_size=2) | st.dictionaries(st.sampled_from(NAMES), each, max_size=3),
    max_leaves=4,
)
LIKELY = {str: st.text(max_size=5), int: st.integers(), None: st.text(max_size=5) | TEXT_MAPS}


@st.composite
def shapes(draw, depth=2):
    """Any shape of a few fields."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    kinds = st.sampled_from(LEAVES) | shapes(depth - 1) if depth else st.sampled_from(LEAVES)
    defaults = st.none() | st.just(0) | st.just("it's a default")
    return RecordShape(*(Field(name, draw(kinds), draw(st.booleans()), draw(defaults)) for name in names))


def objects(shape):
    """Mostly what the shape has, in any order, and more; any JSON in some places."""
    return st.builds(
        lambda there, more, turned: dict(reversed((more | there).items())) if turned else there | more,
        st.fixed_dictionaries(
            {field.name: values(field.shape) for field in shape.fields if field.required},
            optional={field.name: values(field.shape) for field in shape.fields if not field.required},
        ),
        st.just({}) | st.dictionaries(st.sampled_from(NAMES), JSON, max_size=1),
        st.booleans(),
    )


def values(shape):
    fitting = objects(shape) if isinstance(shape, RecordShape) else LIKELY[shape.plain]
    return st.integers(0, 9).flatmap(lambda chance: JSON if chance == 0 else fitting)


def agree(shape, value):
    """Whether the value is taken."""
    try:
        found = taker_of(shape)(value)
    except Exception:
        return False
    try:
        expected = shape(value)
    except Unfit as unfit:
        raise AssertionError(f"taken although it does not fit: {unfit.path} {unfit}") from None
    assert same(found, expected)
    return True


@pytest.mark.parametrize(
    ("event_type", "event"),
    [(datahub.ENTITY_CHANGE, ENTITY_CHANGE), (datahub.RELATIONSHIP_CHANGE, RELATIONSHIP_CHANGE)],
)
def test_one_field_after_another_of_another_type_or_missing(event_type, event):
    shape = SHAPES[event_type]
    assert agree(shape, event)
    for name in [field.name for field in shape.fields]:
        agree(shape, {key: value for key, value in event.items() if key != name})
        for other in (None, True, 0, 1.5, "text", [], {}, {"string": "x"}, {"map": {"a": "b"}}, {"time": 1}):
            agree(shape, event | {name: other})


@given(st.data())
def test_an_object_is_taken_as_its_shape_takes_it_or_not_at_all(data):
    shape = data.draw(shapes())
    agree(shape, data.draw(objects(shape)))


@pytest.mark.parametrize("event_type", SHAPES)
@given(st.data())
def test_datahubs_events_are_taken_as_their_shapes_take_them_or_not_at_all(event_type, data):
    agree(SHAPES[event_type], data.draw(objects(SHAPES[event_type])))
