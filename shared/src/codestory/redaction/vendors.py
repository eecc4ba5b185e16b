"""Secrets without a form of their own that stand beside the name of their issuer: `datadog_api_key = "…32 hex…"`."""

from codestory.redaction.rules import Detector, form
from codestory.redaction.values import machine_made

#: What stands between the issuer's name and its secret: the rest of a name, a sign of assignment, an opening quote.
_BETWEEN = (
    r"""[\w.\-]{0,40}+["'`)\]]{0,3}+(?:\s{0,6}+:\s{0,2}+[A-Za-z]{2,12}(?=\s{0,6}=)|\s{0,6}+{[^{}\n]{0,60}+}(?=\s{0,6}=))?+"""
    r"""(?:\s{0,6}+(?:=>|:=|={1,3}|:|,|\()\s{0,6}+|[ \t]{1,3}+(?:value\s?=\s?)?+)[bfru@$]{0,2}["'`]{0,3}+"""
)
_HEX = "[0-9a-fA-F]"
_UUID = f"{_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}"


def beside(kind: str, words: str, value: str) -> Detector:
    """Of two words of a name (`fb_app`) the sign between is any or none."""
    names = "|".join(word.replace("_", "[_.-]?") for word in words.split())
    spellings = {word.replace("_", sign) for word in words.split() for sign in ("_", "-", ".", "")}
    pattern = rf"(?i:{names}){_BETWEEN}({value})(?![\w+/-])"
    return form(kind, " ".join(sorted(spellings)), pattern, check=lambda it: machine_made(it, 14))


DETECTORS = (
    beside("aws_secret_access_key", "secret_access_key aws_secret aws_sec", r"[A-Za-z0-9+/]{40}"),
    beside("aws_session_token", "session_token", r"[A-Za-z0-9+/]{80,2000}={0,2}"),
    beside("gcp_private_key_id", "private_key_id", f"{_HEX}{{40}}"),
    beside("azure_storage_key", "storage_key storage_account account_key", r"[A-Za-z0-9+/]{86}=="),
    beside("azure_key", "azure cognitive ocp_apim_subscription", f"{_HEX}{{32}}|[A-Za-z0-9]{{52}}|[A-Za-z0-9]{{84}}"),
    beside("azure_devops_token", "azure_devops azdo system_accesstoken vsts", r"[a-z2-7]{52}"),
    beside("heroku_api_key", "heroku", _UUID),
    beside("twilio_auth_token", "twilio", f"{_HEX}{{32}}"),
    beside("datadog_key", "datadog dd_api dd_app", f"{_HEX}{{40}}|{_HEX}{{32}}"),
    beside("cloudflare_key", "cloudflare cf_api cf_token", r"[A-Za-z0-9_-]{37,40}"),
    beside("fastly_key", "fastly", r"[A-Za-z0-9_-]{32}"),
    beside("algolia_key", "algolia", f"{_HEX}{{32}}"),
    beside("airtable_key", "airtable", r"key[A-Za-z0-9]{14}"),
    beside("mailgun_key", "mailgun mg_api", f"{_HEX}{{32}}-{_HEX}{{8}}-{_HEX}{{8}}|{_HEX}{{32}}"),
    beside("mailchimp_key", "mailchimp", f"{_HEX}{{32}}"),
    beside("mailjet_key", "mailjet mj_api", f"{_HEX}{{32}}"),
    beside("postmark_token", "postmark", _UUID),
    beside("new_relic_key", "new_relic", f"{_HEX}{{36,47}}|[A-Z0-9]{{47}}"),
    beside("sentry_token", "sentry", f"{_HEX}{{64}}"),
    beside("discord_token", "discord bot_token", r"[A-Za-z0-9_-]{23,28}\.[A-Za-z0-9_-]{6,7}\.[A-Za-z0-9_-]{27,40}"),
    beside("facebook_secret", "facebook fb_app fb_secret", f"{_HEX}{{32}}"),
    beside("twitter_key", "twitter", r"[A-Za-z0-9]{25}|[A-Za-z0-9]{50}|[0-9]{8,20}-[A-Za-z0-9]{30,45}"),
    beside("linkedin_secret", "linkedin", r"[A-Za-z0-9]{16}"),
    beside("okta_token", "okta", r"00[A-Za-z0-9_-]{40}"),
    beside("auth0_secret", "auth0", r"[A-Za-z0-9_-]{64}"),
    beside("snyk_token", "snyk", _UUID),
    beside("codecov_token", "codecov", _UUID),
    beside("cohere_key", "cohere co_api", r"[A-Za-z0-9]{40}"),
    beside("mistral_key", "mistral", r"[A-Za-z0-9]{32}"),
    beside("deepgram_key", "deepgram elevenlabs xi_api", f"{_HEX}{{32,40}}"),
    beside("confluent_key", "confluent", r"[A-Za-z0-9+/]{64}|[A-Z0-9]{16}"),
    beside("elastic_key", "elastic", r"[A-Za-z0-9]{24}|[A-Za-z0-9_-]{56,64}={0,2}"),
    beside("vault_token", "vault", r"s\.[A-Za-z0-9]{24}"),
    beside("consul_token", "consul nomad_token", _UUID),
    beside("pagerduty_key", "pager_duty", rf"[A-Za-z0-9_+-]{{20}}|{_HEX}{{32}}"),
    beside("opsgenie_key", "opsgenie", _UUID),
    beside("asana_secret", "asana", f"{_HEX}{{32}}|[0-9]/[0-9]{{16}}:{_HEX}{{32}}"),
    beside("trello_key", "trello", f"{_HEX}{{64}}|{_HEX}{{32}}"),
    beside("zendesk_token", "zendesk", r"[A-Za-z0-9]{40}"),
    beside("intercom_token", "intercom", r"[A-Za-z0-9_=-]{60}"),
    beside("segment_key", "segment", r"[A-Za-z0-9]{32}"),
    beside("bitbucket_secret", "bitbucket", r"[A-Za-z0-9_-]{64}|[A-Za-z0-9_-]{32}"),
    beside("atlassian_api_token", "jira confluence atlassian", r"[A-Za-z0-9]{24}"),
    beside("travis_token", "travis", r"[A-Za-z0-9_-]{22}"),
    beside("drone_token", "drone", r"[A-Za-z0-9]{32}"),
    beside("kraken_key", "kraken binance coinbase bittrex kucoin", r"[A-Za-z0-9/+=_-]{64,90}|[A-Za-z0-9_-]{32}"),
    beside("etherscan_key", "etherscan infura alchemy", rf"[A-Z0-9]{{34}}|{_HEX}{{32}}|[A-Za-z0-9_-]{{32}}"),
    beside("wallet_private_key", "private_key wallet_key deployer_key", f"0x{_HEX}{{64}}|{_HEX}{{64}}"),
    beside("ibm_cloud_key", "ibm_cloud ibm_api softlayer", r"[A-Za-z0-9_-]{44}|[A-Za-z0-9]{64}"),
    beside("scaleway_key", "scaleway scw_secret", _UUID),
    beside("linode_token", "linode", f"{_HEX}{{64}}"),
    beside("vultr_key", "vultr", r"[A-Z0-9]{36}"),
    beside("hetzner_token", "hetzner hcloud", r"[A-Za-z0-9]{64}"),
    beside("cloudinary_secret", "cloudinary", r"[A-Za-z0-9_-]{27}"),
)
