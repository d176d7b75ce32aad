//! The policies that are always there. Declared ones come beside them: a
//! `forbid` narrows what these permit, a `permit` widens it, and no `permit`
//! goes beyond these forbids.

/// Id, what it is for, and its text. Alphabetic.
pub(super) const BUILTIN: [(&str, &str, &str); 6] = [
    (
        "bedplate-admin",
        "What a key's role allows in the control API. The role is checked on the matched route before; policies narrow it.",
        r#"permit (principal, action in Action::"admin", resource is Deployment);"#,
    ),
    (
        "bedplate-budget",
        "A hard budget that is spent pays for nothing more.",
        r#"forbid (principal, action in [Action::"invoke", Action::"embed"], resource is Model)
when { context has budgetLeft && context.budgetLeft <= 0 };"#,
    ),
    (
        "bedplate-grant",
        "A model is used by whom it was granted to: it is in the key's list and in its team's catalogue, where there are such lists.",
        r#"permit (principal, action in [Action::"invoke", Action::"embed"], resource is Model)
when {
  (if principal has models then principal.models.contains(resource.name) else true) &&
  (principal is User || (if principal.team has models then principal.team.models.contains(resource.name) else true))
};"#,
    ),
    (
        "bedplate-own",
        "Collections are read by the teams that they name; prompts, tools, caches and memories by everybody whom their owners let in.",
        r#"permit (
  principal,
  action in [
    Action::"retrieve", Action::"call_tool", Action::"use_prompt", Action::"cache_read", Action::"cache_write",
    Action::"memory_read", Action::"memory_write"
  ],
  resource
)
unless { resource is Collection && !(principal in resource.readers) };"#,
    ),
    (
        "bedplate-residency",
        "Data that is bound to zones goes to no model without a target in one of them.",
        r#"forbid (principal, action in [Action::"invoke", Action::"embed"], resource is Model)
when { context has zones && !(resource.zones.containsAny(context.zones)) };"#,
    ),
    (
        "bedplate-sensitivity",
        "Data goes to no model all of whose targets take less sensitive data only.",
        r#"forbid (principal, action in [Action::"invoke", Action::"embed"], resource is Model)
when { context.sensitivity > resource.ceiling };"#,
    ),
];
