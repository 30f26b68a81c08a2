"""Malformed requests get an answer that says what was wrong; none is a fault of the server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from reelbeam.pipeline.explorer import Explorer, make_app

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

REQUESTS = 1_000
"""Least number of requests made from the OpenAPI page, over all operations."""

EACH = 500
"""Most requests of one operation; operations with few parameters have fewer different ones."""

HOSTS = ("localhost", "testserver")
"""Names that schemathesis asks for."""

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

statuses: Counter[int] = Counter()


@pytest.fixture(scope="module")
def asking(explorer: Explorer) -> Iterator[TestClient]:
    with TestClient(make_app(explorer, hosts=HOSTS), "http://localhost", raise_server_exceptions=False) as client:
        yield client


def test_no_request_made_from_the_openapi_page_is_a_fault(explorer: Explorer, asking: TestClient) -> None:
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", make_app(explorer, hosts=HOSTS))
    operations = [found.ok() for found in schema.get_all_operations()]
    assert operations
    for operation in operations:
        modes = schemathesis.GenerationMode
        cases = some.one_of([operation.as_strategy(generation_mode=mode) for mode in (modes.NEGATIVE, modes.POSITIVE)])

        @settings(max_examples=EACH, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=cases)
        def is_answered(case) -> None:  # type: ignore[no-untyped-def]
            answer = case.call(session=asking)
            statuses[answer.status_code] += 1
            assert answer.status_code < 500, (
                f"{answer.status_code} for {case.method} {case.formatted_path} {case.query}"
            )

        is_answered()
    print(f"\n{sum(statuses.values())} requests to {len(operations)} operations: {dict(statuses)}")
    assert sum(statuses.values()) >= REQUESTS
    assert statuses[200]
    assert not statuses[421]  # the guard answered none of them in place of the explorer


PATHS = (
    "/",
    "/health",
    "/map",
    "/repeats",
    "/outliers",
    "/tags",
    "/videos/",
    "/api/",
    "/api/windows",
    "/api/frames/",
    "/metrics",
    "/static/",
)


@settings(max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(
    path=some.sampled_from(PATHS),
    rest=some.one_of(
        some.just(""), some.text(max_size=40), some.sampled_from(["../" * 8 + "etc/passwd", "%00", "\\..\\"])
    ),
    query=some.dictionaries(
        some.sampled_from(["q", "k", "in", "labels", "threshold", "at_ms", "t", "x"]), some.text(max_size=30)
    ),
    accept=some.sampled_from(["text/html", "application/json", "*/*", ""]),
    ranged=some.sampled_from(["", "bytes=0-", "bytes=-0", "bytes=9-1", "bytes=0-0,0-0," * 50, "lines=1-2"]),
)
def test_no_path_or_header_is_a_fault(
    asking: TestClient, path: str, rest: str, query: dict[str, str], accept: str, ranged: str
) -> None:
    headers = {"accept": accept, "range": ranged}
    answer = asking.get(path + quote(rest, safe="/%"), params=query, headers=headers)
    assert answer.status_code < 500
    assert "root:" not in answer.text
