"""Configuration files and arguments: what they mean, and what every kind of mistake is answered with."""

import os
import re
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config import from_arguments, load, load_settings, with_settings
from proxy.config.document import Problems, Value, read_document
from proxy.config.fields import SETTINGS, Fields
from proxy.errors import ConfigError
from proxy.route.model import (
    ANY_PATH,
    EXACT,
    PREFIX,
    REGEX,
    Address,
    Cluster,
    Endpoint,
    PathMatch,
    ProxyConfig,
    Route,
    Settings,
)

MINIMAL = "listen: 127.0.0.1:4140\nclusters: [{name: a, endpoints: ['127.0.0.1:1']}]\n"

FULL = """\
listen: 127.0.0.1:4140
admin: "[::1]:4191"           # optional
clusters:
  - name: emoji
    endpoints: [127.0.0.1:8001, emoji.example:8080, {address: "[::1]:80", weight: 2}]
    connect_timeout: 250ms
    failfast_timeout: 1m
  - {name: web, endpoints: [WEB:80]}
routes:
  - match: {authority: emoji.emojivoto, path: {prefix: /emojivoto.}}
    cluster: emoji
    timeout: 5s
  - name: front
    match: {authority: [Web.Example, "*.web.example:80", "[::1]:80", "[::1]"], path: {exact: /a}}
    cluster: web
  - match: {path: {regex: "/x[0-9]+"}}
    cluster: web
  - cluster: emoji
settings:
  max_concurrent_streams: 200
  stream_window: 128KiB
  max_header_size: 8192
  max_header_fields: 50
  idle_timeout: 1.5h
  drain_timeout: 10s
  max_connection_age: 1h
  upstream_user_timeout: 10s
  dns_refresh: 500ms
  max_connections: 500
  max_buffered: 32MiB
  rapid_reset_streams: 100
  detect_timeout: 500ms
  head_timeout: 5s
  stalled_timeout: 1m
  tcp_idle_timeout: 2h
"""


def write(tmp_path: Path, content: str | bytes) -> str:
    path = tmp_path / "proxy.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def problems_of(tmp_path: Path, content: str | bytes) -> str:
    """Load what is wrong; return the message, less the directory."""
    path = write(tmp_path, content)
    with pytest.raises(ConfigError) as caught:
        load(path)
    return str(caught.value).replace(path, "proxy.yaml")


def test_every_field(tmp_path: Path) -> None:
    emoji = Cluster(
        "emoji", (Endpoint("127.0.0.1", 8001), Endpoint("emoji.example", 8080), Endpoint("::1", 80, 2)), 0.25, 60.0
    )
    assert load(write(tmp_path, FULL)) == ProxyConfig(
        Address("127.0.0.1", 4140),
        Address("::1", 4191),
        (emoji, Cluster("web", (Endpoint("web", 80),))),
        (
            Route("routes[0]", ("emoji.emojivoto",), PathMatch(PREFIX, "/emojivoto."), "emoji", 5.0),
            Route("front", ("web.example", "*.web.example:80", "[::1]:80", "[::1]"), PathMatch(EXACT, "/a"), "web"),
            Route("routes[2]", ("*",), PathMatch(REGEX, "/x[0-9]+"), "web"),
            Route("routes[3]", ("*",), ANY_PATH, "emoji"),
        ),
        Settings(200, 131_072, 8192, 50, 5400.0, 10.0, 3600.0, 10.0, 0.5, 500, 32 << 20, 100, 0.5, 5.0, 60.0, 7200.0),
    )


def test_a_single_cluster_needs_no_routes(tmp_path: Path) -> None:
    config = load(write(tmp_path, MINIMAL))
    assert config.routes == (Route("a", ("*",), ANY_PATH, "a"),)
    assert config.admin is None
    assert config.settings == Settings()


def test_a_byte_order_mark_and_crlf_are_no_matter(tmp_path: Path) -> None:
    plain = load(write(tmp_path, MINIMAL))
    assert load(write(tmp_path, b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode())) == plain


def test_the_issue_s_example(tmp_path: Path) -> None:
    text = "listen: 127.0.0.1:4140\nclusters:\n  - name: a\n    endpoints:\n      - 127.0.0.1:1\n      - foo\n"
    assert problems_of(tmp_path, text) == (
        "proxy.yaml:6:9: clusters[0].endpoints[1]: 'foo' is no HOST:PORT "
        "(write for instance 10.0.0.1:8080 or emoji.example:8080)"
    )


def test_all_problems_are_shown_at_once(tmp_path: Path) -> None:
    text = "listen: nowhere\nclusters:\n- name: a\n  endpoints: []\n  conect_timeout: 1s\nroutes:\n- cluster: b\n"
    assert problems_of(tmp_path, text).splitlines() == [
        "proxy.yaml:1:9: listen: 'nowhere' is no HOST:PORT (write for instance 10.0.0.1:8080 or emoji.example:8080)",
        "proxy.yaml:5:19: clusters[0].conect_timeout: there is no field 'conect_timeout' here; "
        "did you mean 'connect_timeout'?",
        "proxy.yaml:4:14: clusters[0].endpoints: an empty list instead of a list of endpoints",
        "proxy.yaml:7:12: routes[0].cluster: there is no cluster 'b'; there are a",
    ]


CLUSTER = "listen: a:1\nclusters:\n- name: a\n  endpoints: [a:1]\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "proxy.yaml:1:1: the file is empty"),
        ("# nothing\n", "the file is empty"),
        ("---\n", "the file is empty; give it `listen` and `clusters`"),
        ("- a\n", "proxy.yaml:1:1: a list instead of a mapping with listen, admin, clusters, routes, settings"),
        ("hello\n", "'hello' instead of a mapping"),
        ("~\n", "nothing instead of a mapping"),
        ("listen: a:1\n", "proxy.yaml:1:1: the field 'clusters' is missing"),
        ("clusters: [{name: a, endpoints: [a:1]}]\n", "the field 'listen' is missing"),
        ("listen: a:1\nclusters: []\n", "2:11: clusters: an empty list instead of a list of clusters"),
        ("listen: a:1\nclusters: {a: 1}\n", "clusters: a mapping instead of a list of clusters"),
        ("listen:\nclusters: [{name: a, endpoints: [a:1]}]\n", "listen: nothing instead of a value"),
        ("listen: [a]\nclusters: [{name: a, endpoints: [a:1]}]\n", "listen: a list instead of a value"),
        (CLUSTER + "admin: a:1\n", "5:8: admin: 'a:1' is the listen address too"),
        (CLUSTER + "Listen: b:1\n", "did you mean 'listen'?"),
        (CLUSTER + "zzz: 1\n", "there is no field 'zzz' here; there are listen, admin, clusters, routes, settings"),
        (CLUSTER + "listen: b:1\n", "5:1: listen: given twice, first in line 1"),
        (CLUSTER + "- name: a\n  endpoints: [b:1]\n", "5:3: clusters[1]: there is another cluster 'a'"),
        (CLUSTER + "- name: b\n  endpoints: [b:1]\n", "the field 'routes' is missing"),
        (CLUSTER + "- endpoints: [b:1]\n", "5:3: clusters[1]: the field 'name' is missing"),
        (CLUSTER + "- name: 'b c'\n  endpoints: [b:1]\n", "'b c' is no name"),
        (CLUSTER + "- name: b\n  endpoints: [b:1, b:1]\n", "endpoints[1]: 'b:1' is there already"),
        (CLUSTER + "- name: b\n  endpoints: [{address: b:1, weight: 0}]\n", "'0' is no whole number from 1"),
        (CLUSTER + "- name: b\n  endpoints: [{address: b:1, weight: 2000}]\n", "from 1 to 1000"),
        (CLUSTER + "- name: b\n  endpoints: [{weight: 2}]\n", "endpoints[0]: the field 'address' is missing"),
        (CLUSTER + "- name: b\n  endpoints: b:1\n", "'b:1' instead of a list of endpoints"),
        (CLUSTER + "routes: []\n", "routes: an empty list instead of a list of routes"),
        (CLUSTER + "routes: [{match: {}}]\n", "routes[0]: the field 'cluster' is missing"),
        (CLUSTER + "routes: [{cluster: a, timeout: 5}]\n", "routes[0].timeout: '5' is no duration"),
        (
            CLUSTER + "routes: [{cluster: a, match: {path: /a}}]\n",
            "'/a' instead of a mapping with exact, prefix, regex",
        ),
        (CLUSTER + "routes: [{cluster: a, match: {path: {}}}]\n", "0 fields instead of one of exact, prefix, regex"),
        (CLUSTER + "routes: [{cluster: a, match: {path: {exact: /, prefix: /}}}]\n", "2 fields instead of one of"),
        (CLUSTER + "routes: [{cluster: a, match: {path: {prefix: a}}}]\n", "match.path.prefix: 'a' is no path"),
        (CLUSTER + "routes: [{cluster: a, match: {path: {exact: '/a?b'}}}]\n", "has no query"),
        (CLUSTER + "routes: [{cluster: a, match: {path: {regex: '(a'}}}]\n", "'(a' is no pattern: at character 3"),
        (CLUSTER + "routes: [{cluster: a, match: {authority: 'a*'}}]\n", "'a*' is no authority"),
        (
            CLUSTER + "routes: [{cluster: a, match: {authority: [a, {}]}}]\n",
            "authority[1]: a mapping instead of a value",
        ),
        (CLUSTER + "routes: [{cluster: a}, {cluster: a}]\n", "'routes[0]' before it matches the same requests"),
        (CLUSTER + "routes: [{cluster: a, name: x}, {cluster: a, name: x}]\n", "there is another route 'x'"),
        (
            CLUSTER + "settings: {stream_window: 1}\n",
            "settings.stream_window: '1' is out of range (from 1KiB to 16MiB)",
        ),
        (CLUSTER + "settings: {idle_timeout: 1ms}\n", "'1ms' is out of range (from 1s to 720h)"),
        (CLUSTER + "settings: {max_streams: 5}\n", "did you mean 'max_concurrent_streams'?"),
        (CLUSTER + "settings: {max_header_fields: many}\n", "'many' is no whole number from 1"),
        (CLUSTER + "settings: 1\n", "'1' instead of a mapping"),
        ("listen: &x a:1\nadmin: *x\n", "2:8: admin: aliases such as *x are not supported"),
        ("&x [*x]\n", "aliases such as *x are not supported"),
        ("a: !!python/object/apply:os.system [id]\n", "1:4: a: tags such as tag:yaml.org,2002:python/object/apply"),
        ("listen: a:1\n---\nlisten: b:1\n", "2:1: a second document begins"),
        ("[a]: b\n", "a list cannot be a key"),
        ("? {a: 1}\n: b\n", "a mapping cannot be a key"),
        ("{~: b}\n", "nothing cannot be a key"),
        ("a: b: c\n", "1:5: no valid YAML: mapping values are not allowed"),
        ("a: [1\n", "no valid YAML while parsing a flow sequence"),
        ("\ta: 1\n", "1:1: a tab in the indentation"),
        ("a: 'x\n", "no valid YAML"),
        ("%YAML 3.0\n---\na: 1\n", "no valid YAML"),
        ("listen: a\n  \x01b\n", "2:3: a configuration holds no character U+0001"),
        ("a: " + "[" * 100_000, "nested more than 32 deep"),
        ("clusters:\n\t- name: a\n", "2:1: a tab in the indentation"),
        ("clusters:\n  -\tname: a\n\tendpoints: 3\n", "replace it by two of them"),
        ("{a: " * 50_000, "nested more than 32 deep"),
        ("- " * 50_000, "nested more than 32 deep"),
        ("a: " + "x" * 5000, "longer than 1024 characters"),
        ('? "' + "x" * 1025 + '"\n: 1\n', "longer than 1024 characters"),
    ],
)
def test_mistakes_are_named_with_their_place(tmp_path: Path, text: str, problem: str) -> None:
    message = problems_of(tmp_path, text)
    assert problem in message
    assert all(re.match(r"proxy\.yaml:\d+:\d+: ", line) for line in message.splitlines())


def test_many_problems_are_cut(tmp_path: Path) -> None:
    lines = problems_of(tmp_path, CLUSTER + "".join(f"k{number}: 1\n" for number in range(20_000))).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "proxy.yaml: and 19980 more"


def test_messages_cannot_move_the_terminal(tmp_path: Path) -> None:
    message = problems_of(tmp_path, CLUSTER + 'admin: "\\e[2Jx\\n"\n')
    assert r"'\x1b[2Jx\n' is no HOST:PORT" in message
    assert message.isprintable()


def test_billion_laughs_are_refused(tmp_path: Path) -> None:
    text = "a: &a [x]\n" + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{f'*{chr(97 + n)},' * 9}]\n" for n in range(20))
    assert "2:8: b[0]: aliases such as *a" in problems_of(tmp_path, text)


def test_files_that_are_none(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path, problem in [
        (tmp_path / "missing.yaml", "missing.yaml: cannot be read: No such file or directory; check the path"),
        (tmp_path, "is no regular file"),
        (fifo, "is no regular file"),
        ("/dev/null", "/dev/null: is no regular file"),
        ("nul\0byte", "cannot be read: embedded null byte"),
    ]:
        with pytest.raises(ConfigError, match=re.escape(problem)):
            load(str(path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL)
    os.chmod(path, stat.S_IWUSR)
    with pytest.raises(ConfigError, match="Permission denied; check its permissions"):
        load(path)


def test_contents_that_are_no_text(tmp_path: Path) -> None:
    assert problems_of(tmp_path, b"listen: a:1\n\xff\n") == (
        "proxy.yaml:2: byte 0xff is not UTF-8 text; save the file as UTF-8"
    )
    assert problems_of(tmp_path, b"#" * (1 << 20) + b"\n") == (
        "proxy.yaml: is larger than 1 MiB; a configuration is not"
    )


def test_the_short_form() -> None:
    config = from_arguments("127.0.0.1:0", "10.0.0.1:80, emoji.example:81,[::1]:82", "localhost:0")
    endpoints = (Endpoint("10.0.0.1", 80), Endpoint("emoji.example", 81), Endpoint("::1", 82))
    assert config == ProxyConfig(
        Address("127.0.0.1", 0),
        Address("localhost", 0),
        (Cluster("default", endpoints),),
        (Route("default", ("*",), ANY_PATH, "default"),),
    )


@pytest.mark.parametrize(
    ("listen", "to", "admin", "problem"),
    [
        ("4140", "a:1", None, "--listen: '4140' is no HOST:PORT"),
        ("a:1", "", None, "--to: '' is no HOST:PORT"),
        ("a:1", "a:1,", None, "--to: '' is no HOST:PORT"),
        ("a:1", "b:1,b:1", None, "--to: 'b:1' is given twice"),
        ("a:1", "b:0", None, "--to: '0' is no port (a number from 1 to 65535)"),
        ("a:1", "b:1", "a:x", "--admin: 'x' is no port (a number from 0 to 65535)"),
        ("a:1", "b:1", "a:1", "--admin: 'a:1' is the listen address too"),
    ],
)
def test_mistakes_in_the_short_form(listen: str, to: str, admin: str | None, problem: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(problem)):
        from_arguments(listen, to, admin)


def test_settings_without_a_file() -> None:
    config = with_settings(
        from_arguments("a:1", "b:1"), ["head_timeout=2s", "max_buffered = 16MiB", "max_connections=50"]
    )
    assert config.settings == Settings(head_timeout_s=2.0, max_buffered_bytes=16 << 20, max_connections=50)
    assert with_settings(config, []) == config


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        (["head_timeout"], "--set: 'head_timeout' is no NAME=VALUE (write for instance idle_timeout=10m)"),
        (["head_timeouts=1s"], "--set: there is no setting 'head_timeouts'; did you mean 'head_timeout'?"),
        (["zzz=1s"], "--set: there is no setting 'zzz'; there are max_concurrent_streams, "),
        (["head_timeout=1ms"], "--set: head_timeout: '1ms' is out of range (from 1s to 10m)"),
        ([" head_timeout =soon"], "--set: head_timeout: 'soon' is no duration"),
        (["head_timeout=1s", "head_timeout=2s"], "--set: 'head_timeout' is given twice"),
    ],
)
def test_mistakes_in_settings_without_a_file(texts: list[str], problem: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(problem)):
        with_settings(from_arguments("a:1", "b:1"), texts)


@pytest.mark.parametrize("text", ["", "\n", "# settings:\n", "---\n", "\ufeff"])
def test_an_empty_file_has_no_settings(text: str, tmp_path: Path) -> None:
    assert load_settings(write(tmp_path, text)) == Settings()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("~\n", "1:1: nothing instead of a mapping with settings"),
        ("listen: a:1\n", "1:9: listen: there is no field 'listen' here; there are settings"),
        ("settings: {head_timeout: 1ms}\n", "settings.head_timeout: '1ms' is out of range"),
        ("---\n---\n", "a second document begins"),
    ],
)
def test_mistakes_in_a_file_of_settings_alone(text: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(problem)):
        load_settings(write(tmp_path, text))


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    told = load_settings(write(tmp_path, "settings: {head_timeout: 7s, idle_timeout: 2h}\n"))
    config = replace(from_arguments("a:1", "b:1"), settings=told)
    assert with_settings(config, ["head_timeout=3s"]).settings == Settings(head_timeout_s=3.0, idle_timeout_s=7200.0)


def test_the_short_form_does_not_pay_for_yaml() -> None:
    script = (
        "import sys; from proxy.config import from_arguments; from_arguments('a:1', 'b:1');"
        "sys.exit('yaml' in sys.modules or 'json' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[4])


yaml_pieces = st.sampled_from(
    [
        "listen",
        "clusters",
        "name",
        ":",
        " ",
        "\n",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "a:1",
        "'",
        '"',
        "&x",
        "*x",
        "!!",
        "|",
        ">",
        "?",
        "#",
        "\t",
        "~",
        "\u2028",
        "%",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(yaml_pieces, max_size=30).map("".join)))
def test_any_text_ends_in_a_configuration_or_in_problems(text: str) -> None:
    problems = Problems("f")
    document = read_document(text, problems)
    config = Fields(problems).read(document) if document is not None else None
    assert (config is None) == (problems.count > 0)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(FULL) - 1), st.text(max_size=3))
def test_a_slip_of_the_pen_never_ends_in_another_error(at: int, slip: str) -> None:
    problems = Problems("f")
    document = read_document(FULL[:at] + slip + FULL[at + 1 :], problems)
    assert isinstance(document, Value) or problems.count
    if document is not None:
        assert (Fields(problems).read(document) is None) == (problems.count > 0)


def test_the_documented_file_is_valid(tmp_path: Path) -> None:
    document = (Path(__file__).parents[4] / "docs" / "proxy-config.md").read_text()
    example = re.search(r"```yaml\n(.*?)```", document, re.DOTALL)
    assert example is not None
    config = load(write(tmp_path, example[1]))
    assert [route.name for route in config.routes] == ["routes[0]", "voting", "routes[2]"]
    assert config.settings == Settings()  # the example sets defaults
    assert set(SETTINGS) <= set(re.findall(r"^\| `(\w+)` \|", document, re.MULTILINE))


def test_long_keys_are_refused(tmp_path: Path) -> None:
    assert problems_of(tmp_path, f"{'k' * 257}: 1\n") == "proxy.yaml:1:1: a key longer than 256 characters"


def test_the_way_to_a_value_is_written_out_for_problems_only(tmp_path: Path) -> None:
    """Each of 100,000 items with its own copy of 7 KB would take 700 MB."""
    head, items = "".join(f"{{{'k' * 250}: " for _ in range(30)), 100_000
    path = write(tmp_path, f"{head}[{'a,' * items}]{'}' * 30}")
    program = f"""\
import resource
from proxy.config import load
from proxy.errors import ConfigError
resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))
try:
    load({path!r})
except ConfigError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert "there is no field 'kkk" in result.stdout
