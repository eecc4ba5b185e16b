"""Secrets of many kinds, made up anew from a seed: none stands in a file of ours, and none is anybody's."""

import base64
import random
import string
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Secret:
    """What must not be seen anywhere, the name it is given in code, and whether its form alone tells that it is one."""

    kind: str
    name: str
    value: str
    by_form: bool


class Draw:
    """Characters by chance, the same for the same seed; each draw has digits and letters, as real ones do."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  # nothing is kept safe by it

    def of(self, alphabet: str, length: int) -> str:
        for _ in range(1000):
            drawn = "".join(self._random.choices(alphabet, k=length))
            if len(set(drawn)) > min(6, length // 3) and any(c.isdigit() for c in drawn) == any(
                c.isdigit() for c in alphabet
            ):
                return drawn
        raise AssertionError(alphabet)

    def alnum(self, length: int) -> str:
        return self.of(string.ascii_letters + string.digits, length)

    def word(self, length: int) -> str:
        """With the signs of base64 for addresses, none at its ends."""
        return self.alnum(1) + self.of(string.ascii_letters + string.digits + "-_", length - 2) + self.alnum(1)

    def hex(self, length: int) -> str:
        return self.of("0123456789abcdef", length)

    def upper(self, length: int) -> str:
        return self.of(string.ascii_uppercase + string.digits, length)

    def base32(self, length: int) -> str:
        return self.of(string.ascii_uppercase + "234567", length)

    def lower(self, length: int) -> str:
        return self.of(string.ascii_lowercase + string.digits, length)

    def base64(self, length: int) -> str:
        return self.of(string.ascii_letters + string.digits + "+/", length)

    def digits(self, length: int) -> str:
        return "9" + self.of(string.digits, length - 1)

    def uuid(self) -> str:
        return "-".join(self.hex(length) for length in (8, 4, 4, 4, 12))

    def password(self, length: int = 14) -> str:
        return self.alnum(length - 3) + "!" + self.alnum(2)


Make = Callable[[Draw], str]

#: Known wherever they stand.
BY_FORM: dict[str, tuple[str, Make]] = {
    "aws_access_key_id": ("aws_access_key_id", lambda d: "AKIA" + d.base32(16)),
    "aws_temporary_key_id": ("aws_access_key_id", lambda d: "ASIA" + d.base32(16)),
    "gcp_api_key": ("google_maps", lambda d: "AIza" + d.word(35)),
    "gcp_client_secret": ("google_oauth", lambda d: "GOCSPX-" + d.word(28)),
    "gcp_access_token": ("google_bearer", lambda d: "ya29." + d.word(120)),
    "gcp_refresh_token": ("google_refresh", lambda d: "1//0" + d.word(60)),
    "azure_client_secret": ("azure_app", lambda d: d.alnum(3) + "8Q~" + d.word(34)),
    "azure_openai_key": ("azure_openai", lambda d: d.alnum(52) + "JQQJ99" + d.alnum(26)),
    "azure_connection_string": (
        "azure_storage",
        lambda d: f"DefaultEndpointsProtocol=https;AccountName=files;AccountKey={d.base64(86)}==",
    ),
    "azure_sas": ("azure_blob", lambda d: f"https://files.blob.example.net/a?sv=2024-11-04&sig={d.alnum(43)}%3D"),
    "azure_service_bus": (
        "service_bus",
        lambda d: f"Endpoint=sb://bus.example.net/;SharedAccessKeyName=Root;SharedAccessKey={d.base64(43)}=",
    ),
    "digitalocean": ("digitalocean", lambda d: "dop_v1_" + d.hex(64)),
    "alibaba": ("alibaba_key_id", lambda d: "LTAI" + d.alnum(20)),
    "heroku": ("heroku", lambda d: "HRKU-" + d.word(58)),
    "netlify": ("netlify", lambda d: "nfp_" + d.alnum(40)),
    "supabase": ("supabase", lambda d: "sbp_" + d.hex(40)),
    "tailscale": ("tailscale", lambda d: f"tskey-auth-{d.alnum(17)}-{d.alnum(32)}"),
    "nats_seed": ("nats_user", lambda d: "SUAF" + d.base32(54)),
    "openshift": ("openshift", lambda d: "sha256~" + d.word(43)),
    "github_classic": ("github", lambda d: "ghp_" + d.alnum(36)),
    "github_oauth": ("github", lambda d: "gho_" + d.alnum(36)),
    "github_user": ("github", lambda d: "ghu_" + d.alnum(36)),
    "github_server": ("github", lambda d: "ghs_" + d.alnum(36)),
    "github_refresh": ("github", lambda d: "ghr_" + d.alnum(76)),
    "github_fine_grained": ("github", lambda d: f"github_pat_{d.alnum(22)}_{d.alnum(59)}"),
    "gitlab": ("gitlab", lambda d: "glpat-" + d.word(20)),
    "gitlab_deploy": ("gitlab", lambda d: "gldt-" + d.word(20)),
    "gitlab_trigger": ("gitlab", lambda d: "glptt-" + d.hex(40)),
    "bitbucket": ("bitbucket", lambda d: "ATBB" + d.alnum(32)),
    "atlassian": ("jira", lambda d: "ATATT3" + d.word(180) + "=" + d.upper(8)),
    "npm": ("npm", lambda d: "npm_" + d.alnum(36)),
    "pypi": ("pypi", lambda d: "pypi-AgEIcHlwaS5vcmc" + d.word(140)),
    "docker_hub": ("docker", lambda d: "dckr_pat_" + d.word(27)),
    "rubygems": ("gem", lambda d: "rubygems_" + d.hex(48)),
    "slack_bot": ("slack", lambda d: f"xoxb-{d.digits(12)}-{d.digits(13)}-{d.alnum(24)}"),
    "slack_user": ("slack", lambda d: f"xoxp-{d.digits(12)}-{d.digits(12)}-{d.digits(12)}-{d.hex(32)}"),
    "slack_app": ("slack", lambda d: f"xapp-1-A{d.upper(10)}-{d.digits(13)}-{d.hex(64)}"),
    "slack_webhook": (
        "slack_hook",
        lambda d: f"https://hooks.slack.com/services/T{d.upper(8)}/B{d.upper(10)}/{d.alnum(24)}",
    ),
    "discord_webhook": ("discord", lambda d: f"https://discord.com/api/webhooks/{d.digits(18)}/{d.word(68)}"),
    "telegram": ("telegram", lambda d: f"{d.digits(10)}:AA{d.word(33)}"),
    "stripe": ("stripe", lambda d: "sk_live_" + d.alnum(24)),
    "stripe_restricted": ("stripe", lambda d: "rk_test_" + d.alnum(99)),
    "stripe_webhook": ("stripe", lambda d: "whsec_" + d.alnum(32)),
    "twilio_key": ("twilio", lambda d: "SK" + d.hex(32)),
    "sendgrid": ("sendgrid", lambda d: f"SG.{d.word(22)}.{d.word(43)}"),
    "mailgun": ("mailgun", lambda d: "key-" + d.hex(32)),
    "mailchimp": ("mailchimp", lambda d: d.hex(32) + "-us12"),
    "brevo": ("brevo", lambda d: f"xkeysib-{d.hex(64)}-{d.alnum(16)}"),
    "new_relic": ("new_relic", lambda d: "NRAK-" + d.upper(27)),
    "new_relic_license": ("new_relic", lambda d: d.hex(36) + "NRAL"),
    "sentry": ("sentry", lambda d: "sntryu_" + d.hex(64)),
    "square": ("square", lambda d: "sq0csp-" + d.word(43)),
    "shopify": ("shopify", lambda d: "shpat_" + d.hex(32)),
    "linear": ("linear", lambda d: "lin_api_" + d.alnum(40)),
    "notion": ("notion", lambda d: "ntn_" + d.alnum(46)),
    "notion_old": ("notion", lambda d: "secret_" + d.alnum(43)),
    "figma": ("figma", lambda d: "figd_" + d.word(40)),
    "airtable": ("airtable", lambda d: f"pat{d.alnum(14)}.{d.hex(64)}"),
    "vault": ("vault", lambda d: "hvs." + d.word(95)),
    "terraform": ("terraform", lambda d: f"{d.alnum(14)}.atlasv1.{d.word(67)}"),
    "grafana": ("grafana", lambda d: f"glsa_{d.alnum(32)}_{d.hex(8)}"),
    "planetscale": ("planetscale", lambda d: "pscale_tkn_" + d.word(43)),
    "postman": ("postman", lambda d: f"PMAK-{d.hex(24)}-{d.hex(34)}"),
    "doppler": ("doppler", lambda d: "dp.pt." + d.alnum(43)),
    "pulumi": ("pulumi", lambda d: "pul-" + d.hex(40)),
    "dynatrace": ("dynatrace", lambda d: f"dt0c01.{d.base32(24)}.{d.base32(64)}"),
    "hubspot": ("hubspot", lambda d: "pat-na1-" + d.uuid()),
    "databricks": ("databricks", lambda d: "dapi" + d.hex(32)),
    "openai": ("openai", lambda d: "sk-" + d.alnum(48)),
    "openai_project": ("openai", lambda d: f"sk-proj-{d.word(74)}T3BlbkFJ{d.word(74)}"),
    "anthropic": ("anthropic", lambda d: f"sk-ant-api03-{d.word(93)}AA"),
    "hugging_face": ("hugging_face", lambda d: "hf_" + d.of(string.ascii_letters, 34)),
    "replicate": ("replicate", lambda d: "r8_" + d.alnum(37)),
    "groq": ("groq", lambda d: "gsk_" + d.alnum(52)),
    "age": ("age_identity", lambda d: "AGE-SECRET-KEY-1" + d.of("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58)),
    "jwt": ("session", lambda d: f"eyJ{d.word(34)}.eyJ{d.word(80)}.{d.word(43)}"),
    "onepassword": ("onepassword", lambda d: f"A3-{d.upper(6)}-{d.upper(11)}-{d.upper(5)}-{d.upper(5)}-{d.upper(5)}"),
    "postgres_url": ("database", lambda d: f"postgresql://app:{d.password()}@db.internal:5432/app"),
    "mongo_url": ("database", lambda d: f"mongodb+srv://app:{d.alnum(18)}@cluster0.example.net/app"),
    "redis_url": ("cache", lambda d: f"redis://:{d.alnum(24)}@cache.internal:6379/0"),
    "basic_auth_url": ("mirror", lambda d: f"https://deploy:{d.word(20)}@git.example.org/app.git"),
    "basic_auth_header": (
        "authorization",
        lambda d: "Basic " + base64.b64encode(f"admin:{d.password()}".encode()).decode(),
    ),
    "bearer_header": ("authorization", lambda d: "Bearer " + d.alnum(40)),
    "bcrypt": ("admin_hash", lambda d: "$2b$12$" + d.alnum(53)),
}

#: Known by the name they are given: that of their issuer, or one that says what they are.
BY_NAME: dict[str, tuple[str, Make]] = {
    "aws_secret_access_key": ("aws_secret_access_key", lambda d: d.base64(39) + "x"),
    "azure_storage_key": ("azure_storage_account_key", lambda d: d.base64(86) + "=="),
    "azure_search_key": ("azure_search_api_key", lambda d: d.hex(32)),
    "azure_devops": ("azure_devops_pat", lambda d: d.of(string.ascii_lowercase + "234567", 52)),
    "heroku_key": ("heroku_api_key", lambda d: d.uuid()),
    "twilio_auth": ("twilio_auth_token", lambda d: d.hex(32)),
    "datadog_api": ("datadog_api_key", lambda d: d.hex(32)),
    "datadog_app": ("dd_app_key", lambda d: d.hex(40)),
    "cloudflare": ("cloudflare_api_token", lambda d: d.word(40)),
    "fastly": ("fastly_api_token", lambda d: d.word(32)),
    "algolia": ("algolia_admin_key", lambda d: d.hex(32)),
    "snyk": ("snyk_token", lambda d: d.uuid()),
    "discord_bot": ("discord_bot_token", lambda d: f"M{d.alnum(25)}.{d.word(6)}.{d.word(38)}"),
    "okta": ("okta_api_token", lambda d: "00" + d.word(40)),
    "password": ("db_password", lambda d: d.password()),
    "short_password": ("admin_password", lambda d: d.lower(8)),
    "passwd": ("smtp_passwd", lambda d: d.password(10)),
    "secret": ("app_secret", lambda d: d.alnum(32)),
    "secret_key": ("secret_key", lambda d: d.of(string.ascii_lowercase + string.digits + "!@^*-_=+", 50)),
    "client_secret": ("client_secret", lambda d: d.word(40)),
    "api_key": ("api_key", lambda d: d.hex(32)),
    "access_token": ("access_token", lambda d: d.alnum(64)),
    "auth_token": ("auth_token", lambda d: d.lower(24)),
    "private_key": ("wallet_private_key", lambda d: "0x" + d.hex(64)),
    "encryption_key": ("encryption_key", lambda d: d.base64(43) + "="),
    "signing_key": ("jwt_signing_key", lambda d: d.base64(64)),
    "credential": ("service_credential", lambda d: d.alnum(40)),
    "passphrase": ("key_passphrase", lambda d: d.password(24)),
}

_FORMS: dict[str, str] = {
    "python": 'import os\n{NAME} = "{value}"\nnext_one = 1\n',
    "python_argument": "client = connect(host='h', {name}='{value}', port=1)\n",
    "python_signature": 'def connect(host: str, {name}: str = "{value}") -> None: ...\n',
    "python_subscript": 'os.environ["{NAME}"] = "{value}"\n',
    "python_bytes": "{name} = b'{value}'\n",
    "javascript": "const {camel} = '{value}';\n",
    "typescript": "private readonly {camel}: string = `{value}`;\n",
    "java": 'private static final String {NAME} = "{value}";\n',
    "go": '\t{camel} := "{value}"\n',
    "rust": 'const {NAME}: &\'static str = "{value}";\n',
    "csharp": 'public string {Camel} {{ get; set; }} = "{value}";\nvar {camel} = @"{value}";\n',
    "ruby": '  :{name} => "{value}",\n',
    "php": "$config['{name}'] = '{value}';\n",
    "json": '{{"a": 1, "{name}": "{value}"}}\n',
    "json_in_a_string": 'body = "{{\\"{name}\\": \\"{value}\\"}}"\n',
    "yaml": "service:\n  {name}: {value}\n  replicas: 2\n",
    "yaml_quoted": '  - {name}: "{value}"\n',
    "toml": '[service]\n{name} = "{value}"\n',
    "ini": "[service]\n{name} = {value}\n",
    "properties": "service.{name}={value}\n",
    "env": "DEBUG=1\n{NAME}={value}\n",
    "export": "export {NAME}='{value}'\n",
    "dockerfile": "ENV {NAME}={value}\n",
    "flag": "$ serve --{dashed} {value} --port 80\n",
    "xml_attribute": '<service {name}="{value}" port="1"/>\n',
    "xml_element": "<{name}>{value}</{name}>\n",
    "xml_key_and_value": '<add key="{Camel}" value="{value}" />\n',
    "comment": '# was: {name} = "{value}"\n',
    "markdown": "Set it:\n\n```sh\n{NAME}={value}\n```\n",
}

#: Without a name: only what is known by its form can be found here.
_BARE: dict[str, str] = {
    "call": 'login("me", "{value}")\n',
    "prose": "Log in with {value} and go on.\n",
    "list": "things = ['a', '{value}', 'b']\n",
    "code_span": "Use `{value}`.\n",
    "escaped": 'text = "one\\n{value}\\ntwo"\n',
    "header": "curl -H 'X-Thing: {value}' http://localhost\n",
}


def corpus(seed: int = 1) -> list[Secret]:
    """All kinds, the same for the same seed."""
    draw = Draw(seed)
    return [
        Secret(kind, name, make(draw), by_form)
        for group, by_form in ((BY_FORM, True), (BY_NAME, False))
        for kind, (name, make) in group.items()
    ]


def hidden(secret: Secret) -> str:
    """The part of it that nobody may see: of an address the password, of a header what follows the scheme."""
    value = secret.value
    if secret.kind.endswith("_url"):
        return value.partition("://")[2].partition(":")[2].rpartition("@")[0]
    for mark in ("AccountKey=", "SharedAccessKey=", "sig=", "/services/", "/webhooks/", "Basic ", "Bearer "):
        if mark in value:
            return value.rpartition(mark)[2]
    return value


def written(secret: Secret) -> dict[str, str]:
    """It in every syntax where it can be known, by the syntax's name."""
    camel = "".join(part.capitalize() for part in secret.name.split("_"))
    names = {
        "name": secret.name,
        "NAME": secret.name.upper(),
        "Camel": camel,
        "camel": camel[:1].lower() + camel[1:],
        "dashed": secret.name.replace("_", "-"),
        "value": secret.value,
    }
    forms = _FORMS | _BARE if secret.by_form else _FORMS
    return {syntax: form.format(**names) for syntax, form in forms.items()}


def private_key(seed: int = 1, what: str = "RSA ") -> str:
    """A block of lines that looks like a private key."""
    draw = Draw(seed)
    lines = [draw.base64(64) for _ in range(12)]
    edge = "-" * 5
    begin, end = (f"{edge}{side} {what}PRIVATE KEY{edge}" for side in ("BEGIN", "END"))
    return "\n".join((begin, *lines, draw.base64(40) + "==", end))


def plant(folder: Path, seed: int = 1) -> list[str]:
    """Write a small repository full of secrets, in code, docstrings and documentation; what must not be seen."""
    secrets = corpus(seed)
    code, prose = ['"""Settings."""\n'], ["# Service\n"]
    for number, secret in enumerate(secrets):
        code.append(
            f"def uses_{number}({secret.name}: str = {secret.value!r}) -> str:\n"
            f'    """Say it.\n\n    {secret.name} = "{secret.value}"\n    """\n'
            f"    {secret.name}_{number} = {secret.value!r}\n"
            f"    return {secret.name}\n"
        )
        prose.append(f"## Part {number}\n\nSet `{secret.name}`:\n\n```python\n{secret.name} = {secret.value!r}\n```\n")
    key = private_key(seed)
    code.append(f'KEY = """\n{key}\n"""\n')
    (folder / "settings.py").write_text("\n\n".join(code), encoding="utf-8")
    (folder / "README.md").write_text("\n".join((*prose, key, "")), encoding="utf-8")
    return [*(hidden(secret) for secret in secrets), *key.splitlines()[1:-1]]
