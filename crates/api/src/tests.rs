use std::collections::BTreeSet;

use expect_test::expect;

use super::*;

#[test]
fn every_route_is_described_once_and_under_the_prefix() {
    let mut names = BTreeSet::new();
    let mut last = ("", "");
    for route in ROUTES {
        assert!(names.insert(route.name), "{} twice", route.name);
        assert!(route.path.starts_with(&format!("{PREFIX}/")), "{}", route.path);
        assert!(last <= (route.path, route.method.name()), "{} is out of order", route.name);
        last = (route.path, route.method.name());
    }
}

#[test]
fn what_the_data_plane_answers_is_described_and_not_found_here() {
    let document = openapi("0.1.0");
    for route in DATA_PLANE {
        let operation = &document["paths"][route.path][route.method.name().to_ascii_lowercase()];
        assert_eq!(operation["operationId"], route.name);
        assert_eq!(find(route.method.name(), route.path).err(), Some(Miss::NotFound), "{}", route.name);
        assert!(ROUTES.iter().all(|r| r.name != route.name), "{}", route.name);
    }
    let query = &document["paths"]["/api/v1/graphs/{graph}/queries/{query}"]["post"];
    assert_eq!(query["parameters"].as_array().map(Vec::len), Some(2));
}

#[test]
fn trap_x1_a_route_that_writes_needs_an_action_that_writes() {
    for route in ROUTES {
        // A question can be too long for a URL.
        let asks = [
            "plan",
            "explain_policy",
            "replay_policies",
            "search_collection",
            "search_memory",
            "test_policies",
        ];
        let reads = route.method == Method::Get || asks.contains(&route.name);
        assert_eq!(route.action.writes(), !reads, "{}", route.name);
    }
}

#[test]
fn paths_match_exactly() {
    let found = find("DELETE", "/api/v1/keys/019a").expect("the route exists");
    assert_eq!((found.route.name, found.params), ("revoke_key", vec!["019a"]));
    assert_eq!(find("GET", "/api/v1/records/019a").ok().map(|m| m.route.name), Some("explain"));
    assert_eq!(find("PATCH", "/api/v1/keys").err(), Some(Miss::Method));
    for path in ["/api/v1/keys/", "/api/v1/keys/a/b", "/api/v1//keys", "/api/v2/keys", "/", ""] {
        assert_eq!(find("DELETE", path).err(), Some(Miss::NotFound), "{path}");
    }
}

#[test]
fn the_description_resolves_every_reference() {
    let document = openapi("0.1.0");
    let text = document.to_string();
    let schemas = document["components"]["schemas"].as_object().expect("an object");
    for part in text.split("\"#/components/schemas/").skip(1) {
        let name = part.split('"').next().expect("a closing quote");
        assert!(schemas.contains_key(name), "{name}");
    }
    let names: Vec<&str> = schemas.keys().map(String::as_str).collect();
    expect!["Plan PlanStep PlanAction FieldChange ErrorResponse ErrorBody Retry ApprovalList Approval ApprovalValue ApprovalState AnswerApproval AuditBooks AuditDifference AuditCheckpoint AddCosignature AuditKey AuditLog AuditLeaf AuditVerdict AuditOpening AuditCommitment Secret AuditReceipt BudgetList Budget BudgetScope Period BudgetKind CreateBudget CachedAnswer UsedDocument NearRecord CollectionList Collection CollectionRanking CollectionGate CreateCollection DocumentList Document DocumentChange DocumentPreview Passage FitGate JudgedQuestion CollectionGraph GraphEdge Reindexed ReindexCollection SearchResult Evidence SearchExplained GraphWalk StageCost SearchCollection CollectionSourceList CollectionSource SyncCounts SyncFailure ReleasedSource SetSourceKey SyncCollection CostReport CostBy CostRow Tokens ElevationList Elevation Role AskElevation KeyRing MasterKey TenantKeys RotateKeyRing KeyList Key KeyVersion CreatedKey CreateKey RotateKey LedgerCheck ManifestList Manifest ConversationList Conversation RememberedFactList RememberedFact ReplacedFact StatedFact StateFact Forgotten ForgetMemory RememberedTurnList RememberedTurn SearchMemory ModelList Model Target TargetKind ModelMemory TeamQueue Policies PolicySummary PolicyAnswer PolicyQuestion PolicyReplay PolicyChange PolicyTestReport PolicyCase ProviderList Provider KeySource SetProviderKey RecordSummaryList RecordSummary Record Step Attempt Line Rejected Posting PolicyDecision StageSpent Status EngineStatus EngineMemory TeamList Team CreateTeam Shredded Copies ShredTenant ToolList Tool ToolStanding ToolPin SetToolKey ApproveTool UserList User CreateUser SetUserRole Whoami GraphRows QueryGraph"].assert_eq(&names.join(" "));
}

#[test]
fn trap_x4_a_secret_has_no_debug_text() {
    let set = SetProviderKey { key: Secret::new("sk-canary") };
    assert!(!format!("{set:?}").contains("canary"));
    assert_eq!(serde_json::to_string(&set).ok().as_deref(), Some(r#"{"key":"sk-canary"}"#));
}

#[test]
fn a_misspelt_field_is_refused() {
    let error = serde_json::from_str::<CreateKey>(r#"{"team":"t","name":"k","tokens_per_minit":5}"#);
    assert!(error.err().map(|e| e.to_string()).unwrap_or_default().contains("tokens_per_minit"));
    assert!(
        serde_json::from_str::<CreateBudget>(
            r#"{"name":"b","scope":{"team":"t"},"limit_usd":"25.00","period":"month"}"#
        )
        .is_ok()
    );
}
