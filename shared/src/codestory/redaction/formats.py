"""Secrets that are known by their form wherever they stand: the prefixes that issuers chose for this very purpose."""

import base64
import binascii
import re

from codestory.redaction.rules import Detector, form
from codestory.redaction.values import machine_made

#: Not within a word; the letter of an escape (`\n`) is none.
_L = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))"
_R = r"(?![A-Za-z0-9])"
_HEX = "[0-9a-f]"


def user_and_password(value: str) -> bool:
    """Base64 of `user:password`."""
    try:
        pair = base64.b64decode(value + "=" * (-len(value) % 4), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return False
    return re.fullmatch(r"[ -~]{1,100}:[ -~]{2,200}", pair) is not None


CLOUDS = (
    form("aws_access_key_id", "akia asia abia acca", rf"{_L}A(?:KIA|SIA|BIA|CCA)[A-Z2-7]{{16}}{_R}"),
    form(
        "aws_session_token",
        "fwogzxivyxdz iqojb3jpz2lux",
        r"(?:FwoGZXIvYXdz|IQoJb3JpZ2lux)[A-Za-z0-9+/%]{80,2000}+={0,2}",
    ),
    form("aws_mws_token", "amzn.mws.", rf"amzn\.mws\.{_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}"),
    form("aws_bedrock_key", "absk", rf"{_L}ABSK[A-Za-z0-9+/]{{100,280}}+={{0,2}}"),
    form("gcp_api_key", "aiza", rf"{_L}AIza[A-Za-z0-9_-]{{35}}(?![A-Za-z0-9_-])"),
    form("gcp_client_secret", "gocspx-", r"GOCSPX-[A-Za-z0-9_-]{24,40}"),
    form("gcp_access_token", "ya29.", rf"{_L}ya29\.[A-Za-z0-9_-]{{20,1500}}"),
    form("gcp_refresh_token", "1//0", rf"{_L}1//0[A-Za-z0-9_-]{{40,200}}"),
    form("azure_storage_key", "accountkey", r"(?i:AccountKey)\s?=\s?([A-Za-z0-9+/]{40,120}={0,2})"),
    form(
        "azure_storage_key",
        "==\" ==' ==` ==< ==; ==,",
        rf"{_L}[A-Za-z0-9+/]{{86}}==(?![A-Za-z0-9=])",
        back=range(86, 87),
        check=machine_made,
    ),
    form("azure_shared_access_key", "sharedaccesskey", r"(?i:SharedAccessKey)\s?=\s?([A-Za-z0-9+/]{30,100}={0,2})"),
    form("azure_sas", "sig=", r"sig=([A-Za-z0-9+/%]{43,120}(?:={1,2}|%3[Dd]){0,2})"),
    form(
        "azure_client_secret",
        "q~",
        rf"{_L}[A-Za-z0-9_~.]{{3}}[0-9]Q~[A-Za-z0-9_~.-]{{31,34}}(?![A-Za-z0-9_~-])",
        back=range(4, 5),
    ),
    form("azure_key", "jqqj99", rf"{_L}[A-Za-z0-9]{{52}}JQQJ99[A-Za-z0-9]{{26}}{_R}", back=range(52, 53)),
    form("azure_search_key", "azse", rf"{_L}[A-Za-z0-9]{{42}}AzSe[A-Za-z0-9]{{6}}{_R}", back=range(42, 43)),
    form("azure_function_key", "azfu", rf"{_L}[A-Za-z0-9_-]{{44}}AzFu[A-Za-z0-9_-]{{6}}==", back=range(44, 45)),
    form(
        "azure_container_registry_key", "+acr", rf"{_L}[A-Za-z0-9+/]{{42}}\+ACR[A-Za-z0-9]{{6}}{_R}", back=range(42, 43)
    ),
    form("digitalocean_token", "dop_v1_ doo_v1_ dor_v1_", rf"do[opr]_v1_{_HEX}{{64}}"),
    form("alibaba_access_key", "ltai", rf"{_L}LTAI[A-Za-z0-9]{{12,20}}{_R}", check=lambda it: machine_made(it, 14)),
    form("tencent_secret_id", "akid", rf"{_L}AKID[A-Za-z0-9]{{32}}{_R}"),
    form("yandex_cloud_key", "aqvn", rf"{_L}AQVN[A-Za-z0-9_-]{{35,38}}(?![A-Za-z0-9_-])"),
    form("heroku_api_key", "hrku-", r"HRKU-[A-Za-z0-9_-]{36,64}"),
    form("fly_token", "flyv1 fo1_", r"(?:FlyV1 fm[12][ar]?_[A-Za-z0-9+/=,_-]{60,800}|fo1_[A-Za-z0-9_-]{40,60})"),
    form("cloudflare_origin_ca_key", "v1.0-", rf"v1\.0-{_HEX}{{24}}-{_HEX}{{146}}"),
    form("netlify_token", "nfp_", r"nfp_[A-Za-z0-9]{36,40}"),
    form("render_token", "rnd_", rf"{_L}rnd_[A-Za-z0-9]{{28,40}}{_R}", check=lambda it: machine_made(it, 20)),
    form("supabase_key", "sbp_ sb_secret_", r"sb(?:p_[0-9a-f]{40}|_secret_[A-Za-z0-9_-]{22,60})"),
    form("tailscale_key", "tskey-", r"tskey-[a-z]{2,12}-[A-Za-z0-9]{8,40}-[A-Za-z0-9]{16,64}"),
    form("nats_seed", "sua saa soa sna sca sxa", rf"{_L}S[UAONCX]A[A-P][A-Z2-7]{{54}}{_R}"),
    form("openshift_token", "sha256~", r"sha256~[A-Za-z0-9_-]{43}"),
)

FORGES = (
    form("github_token", "ghp_ gho_ ghu_ ghs_ ghr_", r"gh[pousr]_[A-Za-z0-9]{36,255}"),
    form("github_fine_grained_token", "github_pat_", r"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{50,80}"),
    form(
        "gitlab_token",
        "glpat- gldt- glptt- glrt- glrtr- glcbt- glft- glsoat- glagent- glimt- gloas- glffct- glwt-",
        r"gl(?:pat|dt|ptt|rtr?|cbt|ft|soat|agent|imt|oas|ffct|wt)-[A-Za-z0-9_.=-]{20,300}",
    ),
    form("gitlab_token", "gr1348941", r"GR1348941[A-Za-z0-9_-]{20,50}"),
    form("bitbucket_token", "atctt3 atbb", rf"(?:ATCTT3[A-Za-z0-9_=-]{{100,300}}|{_L}ATBB[A-Za-z0-9]{{32}}{_R})"),
    form("atlassian_api_token", "atatt3", r"ATATT3[A-Za-z0-9_=-]{80,300}"),
    form("npm_token", "npm_", rf"{_L}npm_[A-Za-z0-9]{{36}}{_R}"),
    form("pypi_token", "pypi-ag", r"pypi-[A-Za-z0-9_-]{50,1000}"),
    form("docker_hub_token", "dckr_pat_ dckr_oat_", r"dckr_[po]at_[A-Za-z0-9_-]{27,60}"),
    form("rubygems_key", "rubygems_", r"rubygems_[0-9a-f]{48}"),
    form("nuget_key", "oy2", rf"{_L}oy2[a-z0-9]{{43}}{_R}"),
    form("cargo_token", "cio", rf"{_L}cio[A-Za-z0-9]{{32}}{_R}", check=machine_made),
    form("clojars_token", "clojars_", r"CLOJARS_[a-z0-9]{60}"),
    form("artifactory_token", "akcp cmvmd", rf"{_L}(?:AKCp[A-Za-z0-9]{{60,80}}|cmVmd[A-Za-z0-9]{{55,64}}){_R}"),
    form("sourcegraph_token", "sgp_", r"sgp_(?:[0-9a-fA-F]{16}_|local_)?[0-9a-fA-F]{40}"),
    form("sonar_token", "squ_ sqp_ sqa_", rf"{_L}sq[upa]_[0-9a-f]{{40}}"),
    form("circleci_token", "ccipat_", r"CCIPAT_[A-Za-z0-9]{20,30}_[0-9a-f]{40}"),
    form("buildkite_token", "bkua_", r"bkua_[0-9a-f]{40}"),
)

SERVICES = (
    form(
        "slack_token",
        "xoxa- xoxb- xoxe. xoxe- xoxo- xoxp- xoxr- xoxs- xoxc- xoxd-",
        r"(?:(?<![A-Za-z0-9-])|(?<=\\[nrt]))xox[abeoprscd][.-][A-Za-z0-9%.-]{12,300}",
    ),
    form("slack_token", "xapp-", r"xapp-[0-9]-[A-Za-z0-9-]{20,200}"),
    form(
        "slack_webhook",
        "hooks.slack.com/",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9+/_-]{20,120})",
    ),
    form("teams_webhook", ".webhook.office.com/", r"\.webhook\.office\.com/webhookb2/([A-Za-z0-9@/_-]{60,300})"),
    form(
        "discord_webhook",
        "discord.com/api discordapp.com/api",
        r"discord(?:app)?\.com/api/(?:v[0-9]{1,2}/)?webhooks/([0-9]{15,22}/[A-Za-z0-9_-]{40,100})",
    ),
    form(
        "telegram_bot_token", ":aa", rf"{_L}[0-9]{{6,12}}:AA[A-Za-z0-9_-]{{32,34}}(?![A-Za-z0-9_-])", back=range(6, 13)
    ),
    form(
        "stripe_key",
        "sk_live_ sk_test_ rk_live_ rk_test_ sk_prod_ rk_prod_",
        r"[rs]k_(?:live|test|prod)_[A-Za-z0-9]{16,250}",
    ),
    form("stripe_webhook_secret", "whsec_", r"whsec_[A-Za-z0-9+/]{24,100}={0,2}"),
    form("twilio_api_key", " ".join(f"sk{digit}" for digit in "0123456789abcdef"), rf"{_L}SK[0-9a-f]{{32}}{_R}"),
    form("sendgrid_key", "sg.", rf"{_L}SG\.[A-Za-z0-9_-]{{16,32}}\.[A-Za-z0-9_-]{{39,50}}"),
    form("mailgun_key", "key-", rf"{_L}(?:key|pubkey)-[0-9a-f]{{32}}{_R}"),
    form(
        "mailchimp_key",
        " ".join(f"-us{digit}" for digit in "123456789"),
        rf"{_L}[0-9a-f]{{32}}-us[0-9]{{1,2}}{_R}",
        back=range(32, 33),
    ),
    form("brevo_key", "xkeysib- xsmtpsib-", r"x(?:key|smtp)sib-[0-9a-f]{64}-[A-Za-z0-9]{16}"),
    form("new_relic_key", "nrak- nrii- nrra- nrbr- nriq- nraa-", r"NR(?:AK|II|RA|BR|IQ|AA)-[A-Za-z0-9_-]{19,40}"),
    form("new_relic_key", "nral", rf"{_L}[0-9a-f]{{36}}NRAL{_R}", back=range(36, 37)),
    form("sentry_token", "sntrys_ sntryu_ sntryi_", r"sntry(?:[ui]_[0-9a-f]{64}|s_[A-Za-z0-9+/=_-]{60,400})"),
    form(
        "square_token",
        "sq0atp- sq0csp- sq0idp- eaaa",
        rf"(?:sq0(?:at|cs|id)p-[A-Za-z0-9_-]{{22,50}}|{_L}EAAA[A-Za-z0-9_+=-]{{56,64}}(?![A-Za-z0-9_-]))",
    ),
    form("shopify_token", "shpat_ shpca_ shppa_ shpss_ shpua_", r"shp(?:at|ca|pa|ss|ua)_[0-9a-fA-F]{32}"),
    form("linear_key", "lin_api_ lin_oauth_", r"lin_(?:api|oauth)_[A-Za-z0-9]{32,70}"),
    form("notion_token", "ntn_", rf"{_L}ntn_[A-Za-z0-9]{{40,60}}"),
    form("notion_token", "secret_", rf"{_L}secret_[A-Za-z0-9]{{43}}{_R}", check=machine_made),
    form("figma_token", "figd_ figo_ figu_", r"fig[dou]_[A-Za-z0-9_-]{36,80}"),
    form("airtable_token", "pat", rf"{_L}pat[A-Za-z0-9]{{14}}\.[0-9a-f]{{64}}{_R}"),
    form("vault_token", "hvs. hvb. hvr.", rf"{_L}hv[sbr]\.[A-Za-z0-9_-]{{20,400}}"),
    form(
        "terraform_token", ".atlasv1.", rf"{_L}[A-Za-z0-9]{{14}}\.atlasv1\.[A-Za-z0-9_-]{{60,80}}", back=range(14, 15)
    ),
    form(
        "grafana_token",
        "glsa_ glc_ eyjrijoi",
        rf"(?:glsa_[A-Za-z0-9]{{32}}_[0-9a-fA-F]{{8}}|glc_[A-Za-z0-9+/]{{32,400}}={{0,3}}|{_L}eyJrIjoi[A-Za-z0-9+/]{{60,400}}={{0,3}})",
    ),
    form("planetscale_token", "pscale_", r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.=-]{32,64}"),
    form("postman_key", "pmak-", r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}"),
    form(
        "doppler_token",
        "dp.pt. dp.st. dp.ct. dp.sa. dp.scim. dp.audit.",
        rf"{_L}dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9_-]{{2,35}}\.)?[A-Za-z0-9]{{40,44}}",
    ),
    form("pulumi_token", "pul-", rf"{_L}pul-[0-9a-f]{{40}}"),
    form("dynatrace_token", "dt0c01. dt0s01. dt0s16.", r"dt0[cs][01][0-9]\.[A-Z0-9]{8,24}\.[A-Z0-9]{64}"),
    form(
        "hubspot_token",
        "pat-na1- pat-eu1- pat-na2-",
        rf"pat-(?:na|eu)[12]-{_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}",
    ),
    form("contentful_token", "cfpat-", r"CFPAT-[A-Za-z0-9_-]{40,60}"),
    form("easypost_key", "ezak eztk", rf"{_L}EZ[AT]K[A-Za-z0-9]{{54}}{_R}"),
    form("flutterwave_key", "flwseck", r"FLWSECK(?:_TEST)?-[A-Za-z0-9]{12,40}(?:-X)?"),
    form(
        "plaid_token",
        "access-sandbox- access-production- access-development-",
        rf"access-(?:sandbox|production|development)-{_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}",
    ),
    form("paypal_token", "access_token$", rf"access_token\$(?:production|sandbox)\$[0-9a-z]{{16}}\${_HEX}{{32}}"),
    form("shippo_token", "shippo_", r"shippo_(?:live|test)_[0-9a-fA-F]{40}"),
    form("duffel_token", "duffel_", r"duffel_(?:live|test)_[A-Za-z0-9_=-]{43}"),
    form("typeform_token", "tfp_", rf"{_L}tfp_[A-Za-z0-9_.=-]{{44,64}}"),
    form("mapbox_token", "sk.eyj", rf"{_L}sk\.eyJ[A-Za-z0-9_-]{{60,200}}\.[A-Za-z0-9_-]{{20,40}}"),
    form("facebook_token", "eaacedeose0cba", r"EAACEdEose0cBA[A-Za-z0-9]{20,300}"),
    form(
        "twitter_bearer_token",
        "aaaaaaaaaaaaaaaaaaaaa",
        r"(?<![A-Za-z0-9%])A{21,22}[A-Za-z0-9%]{60,120}(?![A-Za-z0-9%])",
        check=machine_made,
    ),
    form("dropbox_token", "sl.", rf"{_L}sl\.(?:u\.)?[A-Za-z0-9_-]{{100,1300}}"),
    form("adobe_secret", "p8e-", rf"{_L}p8e-[A-Za-z0-9_-]{{32}}{_R}"),
    form("onepassword_token", "ops_eyj", r"ops_eyJ[A-Za-z0-9+/_-]{200,2000}={0,3}"),
    form(
        "onepassword_secret_key",
        "a3-",
        rf"{_L}A3-[A-Z0-9]{{6}}-(?:[A-Z0-9]{{11}}|[A-Z0-9]{{6}}-[A-Z0-9]{{5}})(?:-[A-Z0-9]{{5}}){{3}}{_R}",
    ),
    form("prefect_key", "pnu_ pnb_", rf"{_L}pn[ub]_[A-Za-z0-9]{{36}}{_R}"),
    form("infracost_key", "ico-", rf"{_L}ico-[A-Za-z0-9]{{32}}{_R}", check=machine_made),
    form("razorpay_key", "rzp_live_ rzp_test_", r"rzp_(?:live|test)_[A-Za-z0-9]{14,20}"),
    form("databricks_token", "dapi", rf"{_L}dapi[0-9a-f]{{32}}(?:-[0-9]{{1,2}})?{_R}"),
    form("datadog_key", "ddapi_ ddapp_ ddpat_", r"dd(?:api|app|pat)_[A-Za-z0-9]{32,80}"),
)

MODELS = (
    form("anthropic_key", "sk-ant-", r"sk-ant-[a-z]{2,10}[0-9]{2}-[A-Za-z0-9_-]{24,200}"),
    form(
        "openai_key", "sk-proj- sk-svcacct- sk-admin- sk-none-", r"sk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{20,300}"
    ),
    form("openai_key", "sk-", rf"{_L}sk-(?:or-v1-|lf-|litellm-)?[A-Za-z0-9]{{20,80}}{_R}", check=machine_made),
    form("hugging_face_token", "hf_ api_org_", rf"{_L}(?:hf|api_org)_[A-Za-z]{{34}}{_R}"),
    form("replicate_token", "r8_", rf"{_L}r8_[A-Za-z0-9]{{37}}{_R}"),
    form("groq_key", "gsk_", rf"{_L}gsk_[A-Za-z0-9]{{52}}{_R}"),
    form("perplexity_key", "pplx-", rf"{_L}pplx-[A-Za-z0-9]{{48}}{_R}"),
    form("xai_key", "xai-", rf"{_L}xai-[A-Za-z0-9]{{70,90}}{_R}"),
    form("langchain_key", "lsv2_pt_ lsv2_sk_", r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}"),
    form("pinecone_key", "pcsk_", r"pcsk_[A-Za-z0-9]{5,6}_[A-Za-z0-9]{60,70}"),
)

ANYWHERE = (
    form(
        "jwt",
        "eyj",
        r"(?:(?<![A-Za-z0-9_-])|(?<=\\[nrt]))eyJ[A-Za-z0-9_-]{8,4000}+\.eyJ[A-Za-z0-9_-]{8,16000}+(?:\.[A-Za-z0-9_-]{10,2000}+)?",
    ),
    form(
        "jwe",
        "eyj",
        r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{20,2000}+(?:\.[A-Za-z0-9_-]{0,16000}+){3}\.[A-Za-z0-9_-]{16,64}+",
    ),
    form("age_secret_key", "age-secret-key-", r"(?i:AGE-SECRET-KEY-)1?(?:PQ-1)?[A-Za-z0-9]{50,90}"),
    form(
        "bearer_token",
        "bearer",
        r"(?i:bearer)[ \t:=]{1,4}+[\"'`]?([A-Za-z0-9._~+/-]{16,4000}+={0,3})",
        check=machine_made,
    ),
    form("basic_auth", "basic", r"(?i:basic)[ \t]{1,4}+([A-Za-z0-9+/]{8,600}+={0,2})", check=user_and_password),
    form("registry_auth", '"auth"', r'"auth"\s{0,8}:\s{0,8}"([A-Za-z0-9+/]{8,600}+={0,2})"', check=user_and_password),
    form(
        "curl_password",
        "curl",
        r"curl [^\n]{0,200}?(?:-u|--user|--proxy-user)[ =][\"']?[^\s:\"']{1,80}:([^\s\"'@]{3,120})",
    ),
    form("bcrypt_hash", "$2a$ $2b$ $2y$", r"\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}"),
    form(
        "unix_password_hash",
        "$5$ $6$ $y$",
        r"\$(?:[56]\$(?:rounds=[0-9]{1,9}\$)?[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{43,86}|y\$[./A-Za-z0-9]{1,20}\$[./A-Za-z0-9]{1,86}\$[./A-Za-z0-9]{43})",
    ),
)

DETECTORS: tuple[Detector, ...] = CLOUDS + FORGES + SERVICES + MODELS + ANYWHERE
