"""Only who has the token reads, and a page may do nothing that the explorer's own files do not."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from reelbeam.pipeline.explorer import ExploreOptions, Explorer, make_app
from reelbeam.schemas.errors import UsageError

TOKEN = "a-token-that-nobody-guesses"


def client_of(explorer: Explorer, token: str | None = None) -> TestClient:
    return TestClient(
        make_app(explorer, token), "http://localhost", follow_redirects=False, raise_server_exceptions=False
    )


def test_the_first_page_is_there_while_models_load(explorer: Explorer) -> None:
    page = client_of(Explorer(explorer.output)).get("/")
    assert page.status_code == 200
    assert "still loading" in page.text


def test_every_answer_has_a_policy_without_anything_inline(explorer: Explorer) -> None:
    for path in ("/", "/static/style.css", "/nowhere", "/api/nowhere"):
        policy = client_of(explorer).get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("path", ["/", "/api/openapi.json", "/nowhere"])
def test_without_the_token_nothing_is_read(explorer: Explorer, path: str) -> None:
    client = client_of(explorer, TOKEN)
    for given in (
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Basic {TOKEN}"},
        {"cookie": "reelbeam_token=x"},
    ):
        answer = client.get(path, headers=given)
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
    assert client.get("/static/style.css").status_code == 200


def test_the_token_in_the_address_moves_into_a_cookie(explorer: Explorer) -> None:
    client = client_of(explorer, TOKEN)
    answer = client.get(f"/?token={TOKEN}&q=a+dog")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/?q=a+dog"
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert "samesite=strict" in answer.headers["set-cookie"].lower()
    assert TOKEN not in answer.headers["set-cookie"]
    assert client.get("/").status_code == 200
    stolen = {"authorization": f"Bearer {client.cookies['reelbeam_token']}"}
    assert client_of(explorer, TOKEN).get("/", headers=stolen).status_code == 401


@pytest.mark.parametrize("path", ["/", "/api/search?q=a", "/api/health", "/static/style.css"])
def test_a_site_that_points_its_own_name_here_reads_nothing(explorer: Explorer, path: str) -> None:
    client = client_of(explorer)
    for host in ("elsewhere.example", "elsewhere.example:8000", "localhost.elsewhere.example", "127.0.0.1.example", ""):
        answer = client.get(path, headers={"host": host})
        assert answer.status_code == 421
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "LOCALHOST", "127.0.0.1:1", "[::1]:8000", "[::1]"])
def test_this_machines_own_names_are_answered(explorer: Explorer, host: str) -> None:
    assert client_of(explorer).get("/", headers={"host": host}).status_code == 200


def test_with_a_token_a_proxys_name_is_answered(explorer: Explorer) -> None:
    headers = {"host": "films.example", "authorization": f"Bearer {TOKEN}"}
    assert client_of(explorer, TOKEN).get("/", headers=headers).status_code == 200


def test_no_browser_keeps_a_picture(explorer: Explorer) -> None:
    frame = client_of(explorer).get("/api/frames/0/0.jpg")
    assert frame.status_code == 200
    assert frame.headers["cache-control"] == "private, no-store"


def test_a_token_never_leads_to_another_host(explorer: Explorer) -> None:
    answer = client_of(explorer, TOKEN).get(f"//elsewhere.example/?token={TOKEN}")
    assert not answer.headers.get("location", "").startswith("//")


def test_programs_give_the_token_in_a_header(explorer: Explorer) -> None:
    assert client_of(explorer, TOKEN).get("/", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_another_host_wants_a_token_file_and_makes_a_good_one(tmp_path: Path) -> None:
    assert ExploreOptions().token() is None
    with pytest.raises(UsageError, match="--token-file"):
        ExploreOptions(host="0.0.0.0").token()
    file = tmp_path / "token"
    token = ExploreOptions(host="0.0.0.0", token_file=str(file)).token()
    assert token is not None
    assert len(token) >= 30
    assert file.stat().st_mode & 0o077 == 0
    file.write_text("short")
    with pytest.raises(UsageError, match="at least 16"):
        ExploreOptions(token_file=str(file)).token()


def test_errors_are_problems_for_programs_and_pages_for_people(explorer: Explorer) -> None:
    client = client_of(explorer)
    assert client.get("/api/nowhere").json()["status"] == 404
    page = client.get("/nowhere", headers={"accept": "text/html"})
    assert page.status_code == 404
    assert "Back to the search" in page.text
