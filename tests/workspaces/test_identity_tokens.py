"""Tokens: ours are read, everything else is refused with its reason and nothing is trusted from the token itself."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey

from crm_es.config import Environment, Settings
from crm_es.errors import ConfigurationError, UnauthenticatedError, UnavailableError
from crm_es.workspaces.tokens import ApiKeyToken, Claims, DevelopmentIssuer, JwksKeys, Verifier

pytestmark = pytest.mark.anyio
WORKSPACE, MEMBER = uuid4(), uuid4()
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


def claims(**other: object) -> dict[str, object]:
    return {
        "iss": "crm-es",
        "aud": "crm-es",
        "sub": str(MEMBER),
        "workspace": str(WORKSPACE),
        "exp": int((NOW + timedelta(hours=1)).timestamp()),
    } | other


def sign(settings: Settings, header: dict[str, object], payload: dict[str, object]) -> str:
    """By the development key itself."""
    DevelopmentIssuer(settings)
    key = OKPKey.import_key(json.loads((settings.data_dir / "issuer.jwk").read_text()))
    return jwt.encode(
        {"alg": "Ed25519", "typ": "at+jwt", "kid": key.kid} | header, payload, key, algorithms=["Ed25519"]
    )


async def test_a_token_of_ours_names_workspace_member_and_session(settings: Settings) -> None:
    token = DevelopmentIssuer(settings).issue(workspace=WORKSPACE, member=MEMBER, now=NOW)

    read = await Verifier.of(settings).verify(token)

    assert read == Claims(
        workspace=WORKSPACE, member=MEMBER, session=read.session, expires_at=NOW + timedelta(hours=12)
    )
    assert read.session


async def test_the_issuers_key_is_private_and_stays(settings: Settings) -> None:
    token = DevelopmentIssuer(settings).issue(workspace=WORKSPACE, member=MEMBER, now=NOW)

    assert (settings.data_dir / "issuer.jwk").stat().st_mode & 0o777 == 0o600
    assert (await Verifier.of(settings).verify(token)).member == MEMBER


@pytest.mark.parametrize(
    ("header", "changed", "rule"),
    [
        ({}, {"exp": int((NOW - timedelta(seconds=61)).timestamp())}, "token.expired"),
        ({}, {"exp": None}, "token.foreign"),
        ({}, {"iss": "another"}, "token.foreign"),
        ({}, {"aud": "another"}, "token.foreign"),
        ({}, {"aud": None}, "token.foreign"),
        ({}, {"nbf": int((NOW + timedelta(minutes=30)).timestamp())}, "token.foreign"),
        ({}, {"workspace": "acme"}, "token.foreign"),
        ({}, {"sub": 17}, "token.foreign"),
        ({"typ": "JWT"}, {}, "token.foreign"),
        ({"typ": "id+jwt"}, {}, "token.foreign"),
        ({"crit": ["b64"], "b64": True}, {}, "token.foreign"),
        ({"crit": ["typ"]}, {}, "token.foreign"),
    ],
)
async def test_a_genuine_signature_is_not_enough(
    settings: Settings, header: dict[str, object], changed: dict[str, object], rule: str
) -> None:
    token = sign(settings, header, {k: v for k, v in (claims() | changed).items() if v is not None})

    with pytest.raises(UnauthenticatedError) as caught:
        await Verifier.of(settings).verify(token)

    assert caught.value.rule == rule


async def test_a_minute_of_skew_is_forgiven(settings: Settings) -> None:
    now = datetime.now(UTC)
    token = sign(settings, {"typ": "application/at+jwt"}, claims(exp=int((now - timedelta(seconds=1)).timestamp())))

    assert (await Verifier.of(settings).verify(token)).member == MEMBER


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "..", "é" * 9, "x" * 9000, "eyJhbGciOiJub25lIn0.e30."])
async def test_garbage_is_refused(settings: Settings, token: str) -> None:
    with pytest.raises(UnauthenticatedError):
        await Verifier.of(settings).verify(token)


async def test_a_foreign_key_is_refused_whatever_it_calls_itself(settings: Settings) -> None:
    DevelopmentIssuer(settings)
    kid = json.loads((settings.data_dir / "issuer.jwk").read_text())["kid"]
    foreign = OKPKey.generate_key("Ed25519", {"kid": kid})
    token = jwt.encode({"alg": "Ed25519", "typ": "at+jwt", "kid": kid}, claims(), foreign, algorithms=["Ed25519"])

    with pytest.raises(UnauthenticatedError) as caught:
        await Verifier.of(settings).verify(token)

    assert caught.value.rule == "token.foreign"


async def test_the_public_key_does_not_serve_as_a_shared_secret(settings: Settings) -> None:
    DevelopmentIssuer(settings)
    public = json.loads((settings.data_dir / "issuer.jwk").read_text())
    secret = OctKey.import_key(public["x"])
    token = jwt.encode({"alg": "HS256", "typ": "at+jwt", "kid": public["kid"]}, claims(), secret, algorithms=["HS256"])

    with pytest.raises(UnauthenticatedError):
        await Verifier.of(settings).verify(token)


def test_the_development_issuer_refuses_production(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="CRM_ENV: the development issuer does not sign in production"):
        DevelopmentIssuer(Settings(data_dir=tmp_path, environment=Environment.PRODUCTION))


def publish(file: Path, *keys: ECKey) -> None:
    file.write_text(json.dumps(KeySet(list(keys)).as_dict(private=False)))


async def test_keys_of_a_sign_in_service_are_read_from_its_jwks(tmp_path: Path) -> None:
    key = ECKey.generate_key("P-256", {"kid": "1"})
    publish(tmp_path / "jwks.json", key)
    settings = Settings(jwt_jwks=str(tmp_path / "jwks.json"), jwt_issuer="https://id.example", jwt_audience="crm")
    payload = claims(iss="https://id.example", aud=["crm", "other"])
    token = jwt.encode({"alg": "ES256", "typ": "at+jwt", "kid": "1"}, payload, key, algorithms=["ES256"])

    assert (await Verifier.of(settings).verify(token)).workspace == WORKSPACE


async def test_a_rotated_key_is_read_after_a_pause_and_old_ones_stand_while_the_service_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("crm_es.workspaces.tokens.time.monotonic", lambda: clock[0])
    first, second = (ECKey.generate_key("P-256", {"kid": kid}) for kid in ("1", "2"))
    publish(tmp_path / "jwks.json", first)
    keys = JwksKeys(str(tmp_path / "jwks.json"))

    async def known(*, unknown: bool) -> list[str | None]:
        return [key.kid for key in (await keys.newest(unknown=unknown)).keys]

    assert await known(unknown=False) == ["1"]
    publish(tmp_path / "jwks.json", first, second)
    assert await known(unknown=True) == ["1"]
    clock[0] += 31
    assert await known(unknown=False) == ["1"]
    assert await known(unknown=True) == ["1", "2"]
    (tmp_path / "jwks.json").unlink()
    clock[0] += 3600
    assert await known(unknown=False) == ["1", "2"]


@pytest.mark.parametrize("text", [None, "[]", "{}", "<html>"])
async def test_no_keys_at_all_is_unavailable_not_unauthenticated(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "jwks.json").write_text(text)
    settings = Settings(jwt_jwks=str(tmp_path / "jwks.json"))

    with pytest.raises(UnavailableError, match="keys of token signers"):
        await Verifier.of(settings).verify("a.b.c")


async def test_an_api_key_reads_back_and_its_hmac_depends_on_all_of_it() -> None:
    token = ApiKeyToken.new(workspace=WORKSPACE, key=MEMBER)
    other = ApiKeyToken.new(workspace=WORKSPACE, key=MEMBER)

    assert str(token).startswith("crm_")
    assert str(token).count("_") == 2
    assert ApiKeyToken.parse(str(token)) == token
    assert len({token.hmac(b"pepper"), token.hmac(b"salt"), other.hmac(b"pepper")}) == 3


@pytest.mark.parametrize(
    "token", ["crm_", "crm__", "crm_abc_def", "crm_!!_x", "crm_" + "a" * 52 + "_", "crm_" + "a" * 52 + "_é"]
)
async def test_a_malformed_api_key_is_refused(token: str) -> None:
    with pytest.raises(UnauthenticatedError) as caught:
        ApiKeyToken.parse(token)

    assert caught.value.rule == "api_key.malformed"
