"""Java's `sasl.jaas.config`, read as Kafka's Java clients read it: words, quotes, escapes and comments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datahub_poller.config.jaas import Login, logins

SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"
IAM = "software.amazon.msk.auth.iam.IAMLoginModule"


@pytest.mark.parametrize(
    ("text", "login"),
    [
        (f"{IAM} required;", Login(IAM, {})),
        (f'{SCRAM} required username="u" password="p";', Login(SCRAM, {"username": "u", "password": "p"})),
        (
            f"{SCRAM} Required\n  username='u'\n  password=p-1_$x.y ;\n",
            Login(SCRAM, {"username": "u", "password": "p-1_$x.y"}),
        ),
        (f'{SCRAM} required password = "a;b=c d";', Login(SCRAM, {"password": "a;b=c d"})),
        (r'a.B required p="\"\\\n\t\x\101\7z";', Login("a.B", {"p": '"\\\n\tx\x41\x07z'})),
        (r"""a.B required p="it's" q='"';""", Login("a.B", {"p": "it's", "q": '"'})),
        ('// said\na.B /* still */ required // more\n p="//no";', Login("a.B", {"p": "//no"})),
        ('a.B sufficient p="";', Login("a.B", {"p": ""})),
        ('a.B optional p="1" p="2";', Login("a.B", {"p": "2"})),
        ('a.B required p="ü€";', Login("a.B", {"p": "ü€"})),
    ],
)
def test_a_login_is_read_as_java_reads_it(text, login):
    assert logins(text) == [login]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a.B;", "required"),
        ("a.B must;", "required"),
        ("; a.B required;", "must begin with the class"),
        ('a.B required username="u"', "must end with ;"),
        ("a.B required username;", "option 1 has no value"),
        ("a.B required username=;", "option 1 has no value"),
        ('a.B required u="u" password=1234;', "option 2 has no value; a value that is no plain word stands in quotes"),
        ("a.B required =u;", "name=value"),
        ('a.B required p="open;', "must end with ;|has no value"),
    ],
)
def test_what_java_does_not_read_is_refused_without_its_text(text, said):
    with pytest.raises(ValueError, match=said) as caught:
        logins(text)
    assert "open" not in str(caught.value)
    assert "1234" not in str(caught.value)


def test_several_logins_are_all_found():
    assert [login.module for login in logins("a.B required; c.D required x=y;")] == ["a.B", "c.D"]


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=30))
def test_whatever_a_password_holds_comes_back_from_its_quotes(password):
    quoted = password.replace("\\", "\\\\").replace('"', '\\"')
    (login,) = logins(f'{SCRAM} required username="u" password="{quoted}";')
    assert login.options["password"] == password


@given(st.text(max_size=60))
def test_no_text_ends_in_anything_but_logins_or_a_refusal(text):
    try:
        found = logins(text)
    except ValueError:
        return
    assert all(login.module for login in found)
