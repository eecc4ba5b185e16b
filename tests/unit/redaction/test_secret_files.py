"""Files that are not read at all, for what their names say."""

import pytest

from codestory.redaction import secret_file


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".env.production",
        "deploy/.env.local",
        "prod.env",
        "server.pem",
        "tls/SERVER.KEY",
        "a.p12",
        "a.pfx",
        "a.jks",
        "release.keystore",
        "id_rsa",
        ".ssh/id_ed25519",
        "id_ecdsa_work",
        ".npmrc",
        ".pypirc",
        ".netrc",
        ".git-credentials",
        ".aws/credentials",
        "credentials",
        "passwords.kdbx",
        "service-account.json",
        "config/service_account_prod.json",
        "terraform.tfstate",
        "infra/prod.tfvars",
        ".docker/config.json",
        "windows\\style\\.env",
    ],
)
def test_a_file_that_holds_secrets_is_named(path: str) -> None:
    reason = secret_file(path)

    assert reason is not None
    assert reason.startswith("its name says that it holds ")


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".env.example",
        ".env.sample",
        "env.py",
        "src/credentials.py",
        "environment.md",
        "key.py",
        "keystore.go",
        "id_rsa.pub",
        "docs/service-account.md",
        "config.json",
        "secrets.py",
        "monkey",
        "terraform.tfvars.example",
    ],
)
def test_other_files_are_not(path: str) -> None:
    assert secret_file(path) is None
