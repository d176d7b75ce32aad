//! The formats of vendors' credentials, in alphabetic order: one line each.
//!
//! Where a vendor's token carries a checksum there are two rules: `x` when it
//! fits and `x-like` when it does not. Both are found, because half a token or a
//! mistyped one is still worth hiding; the record tells them apart.

use crate::machine::{Check, Rule, Sight};
use crate::verdict::Kind;

const fn r(name: &'static str, pattern: &'static str) -> (&'static str, Rule) {
    (pattern, Rule { name, kind: Kind::VendorSecret, check: None })
}
const fn c(name: &'static str, pattern: &'static str, check: Check) -> (&'static str, Rule) {
    (pattern, Rule { name, kind: Kind::VendorSecret, check: Some(check) })
}
const fn k(name: &'static str, kind: Kind, pattern: &'static str) -> (&'static str, Rule) {
    (pattern, Rule { name, kind, check: None })
}

#[rustfmt::skip]
pub(super) fn rules() -> Vec<(&'static str, Rule)> {
    vec![
        c("bedplate-key", r"\bbp-[0-9A-Za-z]{49}\b", own_key),
        r("age-secret-key", r"\bAGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}\b"),
        r("airtable-token", r"\bpat[A-Za-z0-9]{14}\.[0-9a-f]{64}\b"),
        r("alibaba-key-id", r"\bLTAI[A-Za-z0-9]{12,24}\b"),
        r("anthropic-key", r"\bsk-ant-[a-z]{2,10}[0-9]{2}-[A-Za-z0-9_-]{32,}"),
        r("asana-token", r"\b[0-9]/[0-9]{16}(?:/[0-9]{16})?:[0-9a-f]{32}\b"),
        r("atlassian-token", r"\bATATT3[A-Za-z0-9_=-]{60,}"),
        c("aws-access-key", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b", varied),
        r("aws-secret-key", r#"(?i)\baws[a-z_ .-]{0,20}secret[a-z_ .-]{0,20}["']? ?[:=]{1,2} ?["']?[A-Za-z0-9/+]{40}\b"#),
        r("azure-client-secret", r"\b[A-Za-z0-9_~.-]{3}8Q~[A-Za-z0-9_~.-]{31,34}"),
        r("azure-storage-key", r"\bAccountKey=[A-Za-z0-9+/]{86}=="),
        r("buildkite-token", r"\bbkua_[0-9a-f]{40}\b"),
        r("clickhouse-key", r"\b4b1d[A-Za-z0-9]{38}\b"),
        r("cloudflare-token", r"\bv1\.0-[0-9a-f]{24}-[0-9a-f]{146}\b"),
        r("databricks-token", r"\bdapi[0-9a-f]{32}(?:-[0-9])?\b"),
        r("digitalocean-token", r"\bdo[opr]_v1_[0-9a-f]{64}\b"),
        r("discord-bot-token", r"\b[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38}"),
        r("docker-token", r"\bdckr_(?:pat|oat)_[A-Za-z0-9_-]{20,}"),
        r("doppler-token", r"\bdp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9_.-]{40,}"),
        r("dropbox-token", r"\bsl\.[A-Za-z0-9_-]{130,}"),
        r("dynatrace-token", r"\bdt0[a-z][0-9]{2}\.[A-Z2-7]{24}\.[A-Z2-7]{64}\b"),
        r("easypost-key", r"\bEZ[AT]K[A-Za-z0-9]{54}\b"),
        r("facebook-token", r"\bEAA[A-Za-z0-9]{90,}"),
        r("figma-token", r"\bfig[dpuo]_[A-Za-z0-9_-]{36,}"),
        r("flutterwave-key", r"\bFLWSECK(?:_TEST)?-[A-Za-z0-9]{12,40}(?:-X)?"),
        r("fly-token", r"\bfo1_[A-Za-z0-9_-]{43}\b"),
        c("github-token", r"\bgh[opusr]_[A-Za-z0-9]{36}\b", fits_crc62),
        r("github-token-like", r"\bgh[opusr]_[A-Za-z0-9]{36,}"),
        r("github-fine-grained-token", r"\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}\b"),
        r("gitlab-token", r"\bgl(?:pat|ptt|rt|soat|cbt|ft|imt|agent|oas|dt)-[A-Za-z0-9_.-]{20,}"),
        r("google-api-key", r"\bAIza[A-Za-z0-9_-]{35}"),
        r("google-oauth-secret", r"\bGOCSPX-[A-Za-z0-9_-]{28}"),
        r("google-refresh-token", r"\b1//0[A-Za-z0-9_-]{40,}"),
        r("grafana-token", r"\bgl(?:sa|c)_[A-Za-z0-9+/=]{32,}(?:_[0-9a-f]{8})?"),
        r("groq-key", r"\bgsk_[A-Za-z0-9]{40,}"),
        r("hashicorp-vault-token", r"\bhv[sbr]\.[A-Za-z0-9_-]{24,}"),
        r("heroku-key", r"\bHRKU-[A-Za-z0-9_-]{36,}"),
        r("hubspot-token", r"\bpat-(?:na|eu)1-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"),
        r("huggingface-token", r"\b(?:hf|api_org)_[A-Za-z]{34}\b"),
        r("langsmith-key", r"\blsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}\b"),
        r("linear-key", r"\blin_(?:api|oauth)_[A-Za-z0-9]{32,}"),
        r("mailchimp-key", r"\b[0-9a-f]{32}-us[0-9]{1,2}\b"),
        r("mailgun-key", r"\bkey-[0-9a-f]{32}\b"),
        r("mapbox-secret-token", r"\bsk\.eyJ[A-Za-z0-9_-]{40,}\.[A-Za-z0-9_-]{20,}"),
        r("netlify-token", r"\bnf[pcou]_[A-Za-z0-9]{36,}"),
        r("new-relic-key", r"\bNRAK-[A-Z0-9]{27}\b"),
        r("notion-token", r"\b(?:ntn_[A-Za-z0-9]{40,}|secret_[A-Za-z0-9]{43}\b)"),
        c("npm-token", r"\bnpm_[A-Za-z0-9]{36}\b", fits_crc62),
        r("npm-token-like", r"\bnpm_[A-Za-z0-9]{36,}"),
        r("nvidia-key", r"\bnvapi-[A-Za-z0-9_-]{60,}"),
        r("okta-token", r"\bSSWS 00[A-Za-z0-9_-]{40}"),
        r("openai-key", r"\bsk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{40,}"),
        c("openai-key-classic", r"\bsk-[A-Za-z0-9]{20,48}T3BlbkFJ[A-Za-z0-9]{20,48}\b", varied),
        c("openai-key-like", r"\bsk-[A-Za-z0-9]{40,64}\b", varied),
        r("openrouter-key", r"\bsk-or-v1-[0-9a-f]{64}\b"),
        r("perplexity-key", r"\bpplx-[A-Za-z0-9]{40,}"),
        r("planetscale-token", r"\bpscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.-]{32,}"),
        r("postman-key", r"\bPMAK-[0-9a-f]{24}-[0-9a-f]{34}\b"),
        r("pulumi-token", r"\bpul-[0-9a-f]{40}\b"),
        r("pypi-token", r"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}"),
        r("replicate-token", r"\br8_[A-Za-z0-9]{37}\b"),
        r("rubygems-key", r"\brubygems_[0-9a-f]{48}\b"),
        r("sendgrid-key", r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
        r("sentry-token", r"\bsntry[su]_[A-Za-z0-9_=+/-]{40,}"),
        r("shopify-token", r"\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}\b"),
        r("slack-app-token", r"\bxapp-[0-9]-[A-Z0-9]+-[0-9]+-[0-9a-f]{40,}"),
        r("slack-token", r"\bxox[baprse](?:-[0-9A-Za-z]{1,64}){2,5}"),
        r("slack-webhook", r"\bhooks\.slack\.com/(?:services|workflows)/[A-Z0-9]{8,12}/[A-Z0-9]{8,12}/[A-Za-z0-9]{20,}"),
        r("square-token", r"\b(?:EAAA[A-Za-z0-9_-]{60}|sq0(?:atp|csp)-[A-Za-z0-9_-]{22,43})"),
        r("stripe-key", r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{20,}"),
        r("stripe-webhook-secret", r"\bwhsec_[A-Za-z0-9+/=]{32,}"),
        r("supabase-key", r"\bsbp_[0-9a-f]{40}\b"),
        r("tailscale-key", r"\btskey-(?:auth|api|client|scim|webhook)-[A-Za-z0-9]{10,}-[A-Za-z0-9]{20,}"),
        r("telegram-bot-token", r"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{33}"),
        r("terraform-token", r"\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{60,}"),
        r("together-key", r"\btgp_v1_[A-Za-z0-9_-]{40,}"),
        c("twilio-key", r"\bSK[0-9a-f]{32}\b", varied),
        r("vercel-token", r"\bvc[pkiar]_[A-Za-z0-9]{40,}"),
        r("xai-key", r"\bxai-[A-Za-z0-9]{70,}"),
        k("jwt", Kind::Token, r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?"),
        k("private-key", Kind::PrivateKey, r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----[A-Za-z0-9+/=\s\\:,.()<>@-]*"),
        k("putty-key", Kind::PrivateKey, r"\bPuTTY-User-Key-File-[23]: [A-Za-z0-9-]{3,40}[A-Za-z0-9+/=\s\\:,.@-]*"),
        k("url-with-password", Kind::ConnectionString, r#"(?i)\b(?:postgres(?:ql)?|mysql|mariadb|mongodb(?:\+srv)?|rediss?|amqps?|mssql|sqlserver|clickhouse|kafka|ldaps?|smtps?|ftps?|https?|ssh|nats|jdbc:[a-z0-9]{2,12})://[^\s:/@"'<>]*:[!-?A-Z\[-~&&[^\s/"'<>]]{3,}@[A-Za-z0-9.-]{2,}"#),
        k("connection-string", Kind::ConnectionString, r#"(?i)\b(?:server|data source|host|endpoint) ?= ?[^;\n"']+;(?:[^;\n"'=]+=[^;\n"']*;)*(?:password|pwd|sharedaccesskey|accountkey) ?= ?[^;\s"']{3,}"#),
    ]
}

/// Ours: six base-62 digits of CRC-32 over all before them (crate `policy`).
fn own_key(sight: &Sight<'_>) -> bool {
    let (body, check) = sight.text.split_at(sight.text.len() - 6);
    base62(crc32(body)) == check
}

/// GitHub and npm: six base-62 digits of CRC-32 over what stands between the
/// prefix and them.
fn fits_crc62(sight: &Sight<'_>) -> bool {
    let (body, check) = sight.text.split_at(sight.text.len() - 6);
    base62(crc32(&body[4..])) == check
}

/// Not a placeholder such as `AKIAXXXXXXXXXXXXXXXX`.
fn varied(sight: &Sight<'_>) -> bool {
    let mut seen = [false; 256];
    sight.text.iter().skip(4).for_each(|b| seen[usize::from(*b)] = true);
    seen.iter().filter(|s| **s).count() >= 6
}

fn base62(mut value: u32) -> [u8; 6] {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut out = [b'0'; 6];
    for digit in out.iter_mut().rev() {
        *digit = DIGITS[(value % 62) as usize];
        value /= 62;
    }
    out
}

/// CRC-32 (ISO 3309), bit by bit: a token has a few dozen bytes.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |mut crc, byte| {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (0u32.wrapping_sub(crc & 1)));
        }
        crc
    })
}
