"""Files that hold secrets by their very name."""

import re
from pathlib import PurePosixPath

#: Examples for people to copy; what stands in them is made up.
EXAMPLE = re.compile(r"[._-](?:example|sample|template|dist|tmpl|defaults?)(?:$|[._-])")

#: Whole names, lower case.
NAMES = {
    ".npmrc": "registry credentials",
    ".yarnrc.yml": "registry credentials",
    ".pypirc": "registry credentials",
    ".gem-credentials": "registry credentials",
    ".netrc": "passwords of hosts",
    "_netrc": "passwords of hosts",
    ".git-credentials": "passwords of hosts",
    ".pgpass": "database passwords",
    ".my.cnf": "database passwords",
    ".mylogin.cnf": "database passwords",
    ".htpasswd": "passwords",
    ".vault-token": "a Vault token",
    ".dockercfg": "registry credentials",
    ".dockerconfigjson": "registry credentials",
    ".s3cfg": "cloud credentials",
    ".boto": "cloud credentials",
    ".passwd-s3fs": "cloud credentials",
    "credentials": "cloud credentials",
    "credentials.json": "cloud credentials",
    "application_default_credentials.json": "cloud credentials",
    "client_secret.json": "cloud credentials",
    "accesstokens.json": "cloud credentials",
    "kubeconfig": "cluster credentials",
    "terraform.tfstate": "the state of Terraform, which holds secrets",
    "terraform.tfstate.backup": "the state of Terraform, which holds secrets",
    "credentials.tfrc.json": "cloud credentials",
    ".terraformrc": "cloud credentials",
    "credentials.yml.enc": "encrypted credentials",
    "master.key": "a private key",
    "secrets.yml": "secrets",
    "secrets.yaml": "secrets",
    "secrets.json": "secrets",
    "secrets.toml": "secrets",
    "wallet.dat": "a wallet",
    "wp-config.php": "database passwords",
    "logins.json": "passwords",
    "key4.db": "passwords",
}

#: Patterns of lower-case names.
PATTERNS = (
    (re.compile(r"\.env(?:rc)?(?:[._-].*)?"), "environment variables"),
    (re.compile(r".+\.env"), "environment variables"),
    (re.compile(r".+\.(?:pem|key|p8|pk8|ppk|asc\.key)"), "a private key or certificate"),
    (re.compile(r".+\.(?:p12|pfx|jks|jceks|keystore|truststore|bks|keychain(?:-db)?)"), "a key store"),
    (re.compile(r".+\.(?:kdbx?|psafe3|agilekeychain|opvault|1pif)"), "a password safe"),
    (re.compile(r"id_(?:rsa|dsa|ecdsa|ed25519|xmss)(?:_sk)?(?:[._-].*)?(?<!\.pub)"), "a private key"),
    (re.compile(r"(?:service[-_]?account|gcp[-_]?key|google[-_]?credentials)[^/]*\.json"), "a service account's key"),
    (re.compile(r"client_secret[-_.][^/]*\.json"), "cloud credentials"),
    (re.compile(r".+\.(?:tfstate|tfstate\.backup|tfvars|tfvars\.json)"), "the state of Terraform, which holds secrets"),
    (re.compile(r".+\.(?:ovpn|publishsettings|mobileprovision)"), "credentials"),
    (re.compile(r"secring\.(?:gpg|pgp|kbx)"), "a private key"),
)

#: The last two parts of a path.
PLACES = {
    ".aws/credentials": "cloud credentials",
    ".docker/config.json": "registry credentials",
    ".kube/config": "cluster credentials",
    ".gem/credentials": "registry credentials",
    ".cargo/credentials.toml": "registry credentials",
    "gh/hosts.yml": "registry credentials",
}


def secret_file(path: str) -> str | None:
    """Why this file is not to be read: what its name says it holds. None for all others, and for examples of such."""
    parts = PurePosixPath(path.replace("\\", "/")).parts
    name = parts[-1].lower() if parts else ""
    if EXAMPLE.search(name):
        return None
    reason = NAMES.get(name) or PLACES.get("/".join(parts[-2:]).lower())
    if reason is None:
        reason = next((reason for pattern, reason in PATTERNS if pattern.fullmatch(name)), None)
    return reason and f"its name says that it holds {reason}"
