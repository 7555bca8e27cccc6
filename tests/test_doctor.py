"""What the doctor finds without a database."""

import json
from pathlib import Path

import pytest
from joserfc.jwk import ECKey, KeySet, OctKey

from crm_es.commands.doctor import Finding, signers
from crm_es.config import Settings


def found(location: Path | str | None, **settings: object) -> Finding:
    (finding,) = signers(Settings(jwt_jwks=location and str(location), **settings))
    return finding


@pytest.fixture
def published(tmp_path: Path) -> Path:
    keys = KeySet([ECKey.generate_key("P-256", {"kid": kid}) for kid in ("1", "2")])
    (tmp_path / "jwks.json").write_text(json.dumps(keys.as_dict(private=False)))
    return tmp_path / "jwks.json"


def test_without_a_sign_in_service_tokens_are_of_the_development_issuer() -> None:
    assert found(None) == Finding("tokens: signed by the development issuer")


def test_keys_that_can_be_read_are_counted(published: Path) -> None:
    assert found(published) == Finding(f"tokens: 2 keys of their signers at {published}")


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"keys": []}', '{"keys": [{"kty": "OKP"}]}', "<html>"])
def test_keys_that_cannot_be_read_are_wrong(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "jwks.json").write_text(text)

    finding = found(tmp_path / "jwks.json")

    assert finding.wrong
    assert finding.advice.startswith("CRM_JWT_JWKS: ")
    assert finding.advice.endswith("Until it can be read, nobody gets in by a token.")


def test_a_service_that_does_not_answer_is_wrong() -> None:
    assert found("https://127.0.0.1:1/jwks.json").advice.startswith("CRM_JWT_JWKS: ")


def test_keys_that_sign_by_no_accepted_algorithm_are_wrong(published: Path) -> None:
    finding = found(published, jwt_algorithms=("RS256", "Ed25519"))

    assert finding.advice == "None of them signs by CRM_JWT_ALGORITHMS (RS256, Ed25519): no token will be accepted."


def test_a_secret_among_the_keys_is_wrong(tmp_path: Path) -> None:
    keys = KeySet([ECKey.generate_key("P-256"), OctKey.generate_key(256)])
    (tmp_path / "jwks.json").write_text(json.dumps(keys.as_dict(private=True)))

    finding = found(tmp_path / "jwks.json")

    assert (
        finding.advice == "Secret keys are among them: whoever reads them signs tokens. Publish the public ones alone."
    )
