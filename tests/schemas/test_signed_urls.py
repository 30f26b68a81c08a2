"""Addresses that need no credentials: each kind of store signs them here, with its own key, so that the store will accept them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from obstore.store import AzureStore, GCSStore, HTTPStore, MemoryStore, S3Store

from reelbeam.schemas.errors import StorageError
from reelbeam.schemas.signed_urls import origin_of, signed_url

PLAIN, NAME = "in/a-b_c.mp4", "in/a b%é.mp4"


def signed(store: object, uri: str, path: str) -> str:
    found = signed_url(store, f"{uri}/{path}", path, 600)
    assert found
    return found


def queried(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def test_s3_signs_with_its_key_for_the_time_asked() -> None:
    store = S3Store("videos", access_key_id="k", secret_access_key="s", region="eu-west-1")
    found = signed(store, "s3://videos", NAME)
    assert origin_of(found) == "https://s3.eu-west-1.amazonaws.com"
    assert unquote(urlsplit(found).path) == f"/videos/{NAME}"
    assert queried(found)["X-Amz-Expires"] == "600"
    assert queried(found)["X-Amz-Credential"].startswith("k/")


def test_gcs_signs_with_the_key_of_its_service_account(tmp_path: Path) -> None:
    keys = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.rsa", reason="cryptography is not installed")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding

    own = keys.generate_private_key(65537, 2048)
    pem = own.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    account = {"type": "service_account", "private_key": pem, "private_key_id": "1", "client_email": "a@b.test"}
    file = tmp_path / "account.json"
    file.write_text(json.dumps(account))
    found = signed(GCSStore("videos", service_account_path=str(file)), "gs://videos", NAME)
    assert origin_of(found) == "https://storage.googleapis.com"
    said = queried(found)
    assert said["X-Goog-Expires"] == "600"
    parts = urlsplit(found)
    unsigned = "&".join(part for part in parts.query.split("&") if not part.startswith("X-Goog-Signature="))
    request = f"GET\n{parts.path}\n{unsigned}\nhost:{parts.netloc}\n\nhost\nUNSIGNED-PAYLOAD"
    scope = said["X-Goog-Credential"].partition("/")[2]
    text = "\n".join(["GOOG4-RSA-SHA256", said["X-Goog-Date"], scope, hashlib.sha256(request.encode()).hexdigest()])
    own.public_key().verify(
        bytes.fromhex(said["X-Goog-Signature"]), text.encode(), padding.PKCS1v15(), hashes.SHA256()
    )  # raises where Google would refuse


def test_azure_signs_with_the_key_of_its_account() -> None:
    key = base64.b64encode(b"k" * 32).decode()
    store = AzureStore("videos", account_name="mine", account_key=key)
    found = signed(store, "az://videos", PLAIN)
    assert origin_of(found) == "https://mine.blob.core.windows.net"
    said = queried(found)
    assert said["sp"] == "r"
    assert said["sr"] == "b"
    ends = datetime.fromisoformat(said["se"])
    assert abs(ends - datetime.now(UTC) - timedelta(seconds=600)) < timedelta(seconds=60)
    fields = [
        said["sp"], said.get("st", ""), said["se"], f"/blob/mine/videos/{PLAIN}", "", "", "", said["sv"], said["sr"], "", "",
        "", "", "", "", "",
    ]  # fmt: skip
    wanted = hmac.new(base64.b64decode(key), "\n".join(fields).encode(), "sha256").digest()
    assert said["sig"] == base64.b64encode(wanted).decode()


def test_no_address_is_given_for_a_name_that_azure_would_refuse() -> None:
    store = AzureStore("videos", account_name="mine", account_key=base64.b64encode(b"k" * 32).decode())
    assert signed_url(store, f"az://videos/{NAME}", NAME, 600) is None


@pytest.mark.parametrize("store", [MemoryStore(), HTTPStore("https://videos.test")])
def test_a_store_that_signs_nothing_says_so(store: object) -> None:
    with pytest.raises(StorageError, match="such a store signs no addresses"):
        signed_url(store, "memory:///x", NAME, 600)


def test_a_store_without_a_key_says_why() -> None:
    store = AzureStore("videos", account_name="mine", skip_signature=True)
    with pytest.raises(StorageError, match=f"az://videos/{PLAIN}: no address can be signed: "):
        signed(store, "az://videos", PLAIN)
