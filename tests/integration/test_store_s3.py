"""Dead letters read back from S3 through boto3 and HTTP: what is found, the ledger, and taking letters out."""

from __future__ import annotations

import itertools

import pytest

from datahub_poller.deadletter.account import letters as letters_in
from datahub_poller.deadletter.letter import to_line
from datahub_poller.deadletter.s3 import S3Sink
from datahub_poller.deadletter.s3_bucket import Bucket
from datahub_poller.deadletter.s3_store import S3Store
from datahub_poller.deadletter.store import Mark
from datahub_poller.errors import CannotStart, Transient
from support.letters import event_letter, parsed, record, record_of, undecodable_letter

AT = 1_700_000_000.0
BELOW = "dl/action=tag-sync/"


@pytest.fixture
def bucket(aws):
    return aws.to_persons(aws.bucket())


@pytest.fixture
def write(aws, bucket):
    """Each write is a second later than the one before."""
    moments = itertools.count(AT)
    return S3Sink(Bucket(aws.account, bucket.name), "dl", "tag-sync", wall=lambda: next(moments)).write


def store(bucket, at=AT):
    moments = itertools.count(at)
    return S3Store(bucket, "dl", "tag-sync", wall=lambda: next(moments))


def of(number, done="delivered", why="it was wanted"):
    return Mark("tag-sync", str(number), 0, done, AT, "me", "r1", "handler", "Err: \ud800", why)


def seen(bucket):
    return [stored.line for stored in store(bucket).scan()]


def test_every_letter_comes_back_byte_for_byte_in_the_order_of_writing(bucket, write):
    odd = event_letter(3, {"event_type": "x\x00\ud800\ufffe\r\u2028\x85", "event": {}, "meta": {}})
    letters = [event_letter(1), undecodable_letter(2), odd, event_letter(4)]
    write(letters[:2])
    write(letters[2:])
    stored = list(store(bucket).scan())
    assert [each.line for each in stored] == [to_line(letter) for letter in letters]
    assert [record_of(*parsed(each.line)) for each in stored] == [letter.record for letter in letters]


def test_where_a_letter_lies_is_its_objects_address_and_its_line(aws, bucket, write):
    write([event_letter(1), event_letter(2)])
    (key,) = aws.keys(bucket)
    assert [each.where for each in store(bucket).scan()] == [f"s3://{bucket.name}/{key}#{line}" for line in (1, 2)]


def test_more_objects_than_one_list_holds_are_all_found(aws, bucket, write, monkeypatch):
    for number in range(7):
        write([event_letter(number)])
    real = bucket._service.ask

    def two_a_page(question):
        return real(lambda s3: question(PagesOfTwo(s3)))

    monkeypatch.setattr(bucket._service, "ask", two_a_page)
    assert seen(bucket) == [to_line(event_letter(number)) for number in range(7)]
    assert len(aws.proxy.asked("s3:ListObjectsV2")) == 4


class PagesOfTwo:
    """An S3 client whose lists are as short as S3 may make them."""

    def __init__(self, s3):
        self._s3 = s3

    def __getattr__(self, name):
        return getattr(self._s3, name)

    def list_objects_v2(self, **asked):
        return self._s3.list_objects_v2(**asked, MaxKeys=2)


def test_neither_the_check_nor_the_ledger_nor_a_folder_nor_another_action_is_a_letter(aws, bucket, write):
    S3Sink(Bucket(aws.account, bucket.name), "dl", "tag-sync").check()
    S3Sink(Bucket(aws.account, bucket.name), "dl", "tag-sync-2").write([event_letter(9)])
    write([event_letter(1)])
    aws.s3.put_object(Bucket=bucket.name, Key=f"{BELOW}date=2020-01-01/", Body=b"")
    first = store(bucket)
    first.mark([(next(first.scan()), of(1))])
    assert seen(bucket) == [to_line(event_letter(1))]


def test_what_is_no_letter_is_handed_out_all_the_same(aws, bucket):
    aws.s3.put_object(Bucket=bucket.name, Key=f"{BELOW}date=x/notes.txt", Body=b"not\n\na letter")
    assert seen(bucket) == [b"not\n", b"\n", b"a letter"]
    found = letters_in(store(bucket), "tag-sync")
    assert list(found) == []
    assert found.rejected == 3


def test_an_empty_place_has_no_letters_and_no_marks(bucket):
    assert seen(bucket) == []
    assert list(store(bucket).marks()) == []
    assert store(bucket).place == f"s3://{bucket.name}/dl/action=tag-sync"
    assert store(bucket).caution == ""


@pytest.mark.parametrize("operation", ["s3:ListObjectsV2", "s3:GetObject"])
def test_a_place_that_cannot_be_read_is_named_with_the_right_that_is_missing(aws, bucket, write, operation):
    write([event_letter()])
    aws.proxy.fault("refuse", operation, code="AccessDenied")
    with pytest.raises(CannotStart, match=rf"s3://{bucket.name}/dl/action=tag-sync.*AccessDenied.*s3:GetObject"):
        seen(bucket)


@pytest.mark.parametrize("kind", ["throttle", "error", "cut", "cut_after"])
def test_no_fault_makes_a_letter_look_as_if_it_were_not_there(aws, bucket, write, kind):
    write([event_letter(1)])
    for operation in ("s3:ListObjectsV2", "s3:GetObject"):
        aws.proxy.fault(kind, operation, times=1)
        with pytest.raises(CannotStart):
            seen(bucket)
    assert seen(bucket) == [to_line(event_letter(1))]


def test_a_bucket_that_is_not_there_cannot_be_read(aws):
    with pytest.raises(CannotStart, match="NoSuchBucket"):
        seen(Bucket(aws.persons, "nobodys"))
    with pytest.raises(CannotStart, match="NoSuchBucket"):
        list(store(Bucket(aws.persons, "nobodys")).marks())


def test_an_archived_object_is_named_with_what_to_do(aws, bucket, write):
    write([event_letter()])
    aws.proxy.fault("refuse", "s3:GetObject", code="InvalidObjectState")
    with pytest.raises(CannotStart, match=r"\.jsonl \(InvalidObjectState: it is archived: restore it"):
        seen(bucket)


def test_an_object_that_goes_between_the_list_and_the_look_is_passed_over(aws, bucket, write):
    write([event_letter(1)])
    write([event_letter(2)])
    scan = store(bucket).scan()
    first = next(scan)
    aws.s3.delete_object(Bucket=bucket.name, Key=aws.keys(bucket)[1])
    assert [first.line, *(each.line for each in scan)] == [to_line(event_letter(1))]


def test_what_was_done_is_an_object_for_each_time_and_comes_back_in_order(aws, bucket, write):
    write([event_letter(1), event_letter(2)])
    first = store(bucket)
    one, two = first.scan()
    first.mark([(one, of(1)), (two, of(2, "failed_again"))])
    first.mark([(one, of(1, "dropped"))])
    assert list(store(bucket).marks()) == [of(1), of(2, "failed_again"), of(1, "dropped")]
    assert len(aws.keys(bucket, f"{BELOW}_redrive/")) == 2
    assert seen(bucket) == [one.line, two.line]


def test_nothing_done_is_no_object(aws, bucket):
    store(bucket).mark([])
    assert aws.keys(bucket) == []


def test_what_cannot_be_written_down_is_said_and_can_be_tried_again(aws, bucket, write):
    write([event_letter(1)])
    first = store(bucket)
    (one,) = first.scan()
    aws.proxy.fault("refuse", "s3:PutObject", times=1, code="AccessDenied")
    with pytest.raises(Transient, match=r"_redrive/.*s3:PutObject on .*_redrive/"):
        first.mark([(one, of(1))])
    first.mark([(one, of(1))])
    assert list(store(bucket).marks()) == [of(1)]


def test_an_object_of_which_nothing_is_left_is_deleted(aws, bucket, write):
    write([event_letter(1), event_letter(2)])
    write([event_letter(3)])
    first = store(bucket)
    one, two, _ = first.scan()
    assert first.remove([one, two]) == 2
    assert seen(bucket) == [to_line(event_letter(3))]
    assert len(aws.keys(bucket)) == 1


def test_what_is_left_of_an_object_stays_in_its_place_of_the_order(aws, bucket, write):
    for start in (0, 3, 6):
        write([event_letter(start + each) for each in range(3)])
    first = store(bucket)
    stored = list(first.scan())
    assert first.remove([stored[4], stored[0]]) == 2
    assert seen(bucket) == [to_line(event_letter(number)) for number in (1, 2, 3, 5, 6, 7, 8)]
    assert len(aws.keys(bucket)) == 3


def test_letters_of_one_object_can_be_removed_one_call_after_the_other(bucket, write):
    write([event_letter(number) for number in range(4)])
    first = store(bucket)
    for stored in list(first.scan())[:3]:
        assert first.remove([stored]) == 1
    assert seen(bucket) == [to_line(event_letter(3))]


def test_the_same_line_twice_in_an_object_goes_as_often_as_was_asked_for(bucket, write):
    write([event_letter(1), event_letter(1), event_letter(2)])
    first = store(bucket)
    one, copy, _ = first.scan()
    first.remove([one])
    assert seen(bucket) == [to_line(event_letter(1)), to_line(event_letter(2))]
    first.remove([copy])
    assert seen(bucket) == [to_line(event_letter(2))]


def test_the_rest_is_there_before_the_old_object_goes(aws, bucket, write):
    write([event_letter(1), event_letter(2)])
    first = store(bucket)
    one, two = first.scan()
    aws.proxy.forget()
    first.remove([one])
    asked = [request.operation for request in aws.proxy.requests]
    assert asked == ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
    assert seen(bucket) == [two.line]


@pytest.mark.parametrize("kind", ["throttle", "error", "cut", "cut_after"])
@pytest.mark.parametrize("operation", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"])
def test_a_removal_that_is_cut_short_loses_nothing_and_can_be_done_again(aws, bucket, write, kind, operation):
    write([event_letter(1), event_letter(2)])
    first = store(bucket)
    one, two = first.scan()
    aws.proxy.fault(kind, operation, times=1)
    with pytest.raises(Transient):
        first.remove([one])
    assert two.line in seen(bucket)
    again = store(bucket)
    again.remove([each for each in again.scan() if each.line == one.line])
    assert set(seen(bucket)) == {two.line}


def test_the_missing_right_to_delete_is_named(aws, bucket, write):
    write([event_letter(1)])
    first = store(bucket)
    aws.proxy.fault("refuse", "s3:DeleteObject", code="AccessDenied")
    with pytest.raises(Transient, match=rf"s3:DeleteObject on arn:aws:s3:::{bucket.name}/dl/action=tag-sync/\*"):
        first.remove(list(first.scan()))
    assert seen(bucket) == [to_line(event_letter(1))]


def test_what_another_has_removed_meanwhile_counts_as_gone(aws, bucket, write):
    write([event_letter(1)])
    first = store(bucket)
    stored = list(first.scan())
    aws.s3.delete_object(Bucket=bucket.name, Key=aws.keys(bucket)[0])
    assert first.remove(stored) == 1


def test_what_another_has_added_to_an_object_meanwhile_stays(aws, bucket, write):
    write([event_letter(1)])
    first = store(bucket)
    stored = list(first.scan())
    (key,) = aws.keys(bucket)
    both = to_line(event_letter(1)) + to_line(event_letter(2))
    aws.s3.put_object(Bucket=bucket.name, Key=key, Body=both)
    first.remove(stored)
    assert seen(bucket) == [to_line(event_letter(2))]


def test_objects_that_people_have_put_there_are_rewritten_beside_their_key(aws, bucket):
    lines = [to_line(event_letter(number)) for number in range(2)]
    aws.s3.put_object(Bucket=bucket.name, Key=f"{BELOW}from-files.jsonl", Body=b"".join(lines))
    first = store(bucket)
    first.remove(list(first.scan())[:1])
    (key,) = aws.keys(bucket)
    assert key.startswith(f"{BELOW}from-files-")
    assert seen(bucket) == lines[1:]


def test_a_letter_written_twice_is_one_letter_in_two_places(bucket, write):
    write([event_letter(1)])
    write([event_letter(1)])
    found = letters_in(store(bucket), "tag-sync")
    (only,) = [letter for letter, _ in found]
    assert only.record() == record(1)
    assert len(found.places_of(only)) == 2
