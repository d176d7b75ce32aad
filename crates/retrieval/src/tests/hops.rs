//! Questions whose answer takes several documents, of a firm that does not exist: what the graph
//! is measured by, and what holds of it for its readers.

use super::*;

/// Source and text. The document that a question ends at does not say what the question says.
const DOCUMENTS: [(&str, &str); 26] = [
    (
        "systems/payment-gateway.md",
        "# Payment Gateway\n\nOwner: Team Atlas\n\nIt takes the card payments of the web shop and hands each booking on to Ledger Core.\n",
    ),
    (
        "systems/ledger-core.md",
        "# Ledger Core\n\nOwner: Team Borealis\n\nEvery booking is stored twice here. Ledger Core runs on Granite Cluster.\n",
    ),
    (
        "systems/parcel-tracker.md",
        "# Parcel Tracker\n\nOwner: Team Cygnus\n\nCustomers see where their parcel is. It reads the scans of Harbour Depot each minute.\n",
    ),
    (
        "systems/price-oracle.md",
        "# Price Oracle\n\nIt computes what an article costs today. Price Oracle depends on Currency Feed for its rates. Owner of the budget is the sales department.\n",
    ),
    (
        "systems/currency-feed.md",
        "# Currency Feed\n\nSupplier: Halden Data\n\nRates arrive each quarter of an hour, with a spare line for outages.\n",
    ),
    (
        "systems/granite-cluster.md",
        "# Granite Cluster\n\nTwelve machines in Esch Hall. They are patched on the second Tuesday of each month.\n",
    ),
    (
        "teams/atlas.md",
        "# Team Atlas\n\nLead: Ines Duarte\n\nSeven people, stand-up at nine, on the third floor of Mill House.\n",
    ),
    (
        "teams/borealis.md",
        "# Team Borealis\n\nLead: Karl Blum\n\nFive people who work from home on Fridays, on the ground floor of Mill House.\n",
    ),
    ("teams/cygnus.md", "# Team Cygnus\n\nLead: Noor Haddad\n\nFour people, next to the canteen.\n"),
    (
        "people/ines-duarte.md",
        "# Ines Duarte\n\nIn the firm since 2019. Ines Duarte reports to Petra Olsen. Her deputy is Tomas Rieger.\n",
    ),
    ("people/karl-blum.md", "# Karl Blum\n\nIn the firm since 2011. Karl Blum reports to Samir Osei.\n"),
    (
        "people/noor-haddad.md",
        "# Noor Haddad\n\nIn the firm since 2022, before that at a shipping line. Speaks Arabic and Dutch. Noor Haddad reports to Samir Osei.\n",
    ),
    (
        "people/petra-olsen.md",
        "# Petra Olsen\n\nDirector of commerce. Signs orders of up to 50,000 EUR. Her office hour is on Wednesday at four.\n",
    ),
    (
        "people/samir-osei.md",
        "# Samir Osei\n\nDirector of operations. Signs orders of up to 80,000 EUR. His office hour is on Monday at ten.\n",
    ),
    (
        "sites/esch-hall.md",
        "# Esch Hall\n\nCooled by water from the Alzette. The key hangs with the porter, Lou Weber.\n",
    ),
    (
        "sites/harbour-depot.md",
        "# Harbour Depot\n\nForty gates. The depot is closed on Sundays. Harbour Depot is managed by Vera Lind.\n",
    ),
    (
        "sites/mill-house.md",
        "# Mill House\n\nThe old spinning mill. Evacuation drills take place in April; meet at the weighbridge.\n",
    ),
    (
        "suppliers/halden-data.md",
        "# Halden Data\n\nContract until June 2028, notice of six months. Contact: Mira Solberg\n",
    ),
    (
        "suppliers/overview.md",
        "# Suppliers\n\nWho signs with a supplier says so to the purchasing department. A contract has a notice of three months as a rule. Every supplier has a contact.\n",
    ),
    (
        "policies/leads.md",
        "# Leads\n\nA lead of a team reports to a director. The lead approves leave, and says who the deputy is. Whoever leads a team that owns a system is called when it fails.\n",
    ),
    (
        "policies/ownership.md",
        "# Ownership\n\nEvery system has an owner. The owner of a system is a team, never a person; the team that owns it also runs it.\n",
    ),
    (
        "policies/orders.md",
        "# Orders\n\nOrders are signed by a director. The limit of an order depends on who signs. Ask for the office hour of the director.\n",
    ),
    (
        "policies/patching.md",
        "# Patching\n\nMachines are patched each month. A machine that runs a system which stores bookings is patched at night.\n",
    ),
    (
        "policies/keys.md",
        "# Keys\n\nThe key of a hall or a depot hangs with its porter. Whoever takes a key signs for it. The manager of a depot has a key of it.\n",
    ),
    (
        "policies/floors.md",
        "# Floors\n\nTeams sit together on a floor. A team that owns a system which takes payments has a floor that is locked.\n",
    ),
    (
        "policies/contracts.md",
        "# Contracts\n\nThe contract of a supplier has a notice, and an end. Depending on the supplier, the contact is told a year before.\n",
    ),
];

/// The question, and the documents that it takes.
const QUESTIONS: [(&str, &[&str]); 14] = [
    ("Who leads the team that owns the Payment Gateway?", &["systems/payment-gateway.md", "teams/atlas.md"]),
    (
        "Who does the lead of the owner of Payment Gateway report to?",
        &["systems/payment-gateway.md", "teams/atlas.md", "people/ines-duarte.md"],
    ),
    ("On which floor does the owner of Ledger Core sit?", &["systems/ledger-core.md", "teams/borealis.md"]),
    (
        "Since when is the lead of the parcel tracker's team in the firm?",
        &["systems/parcel-tracker.md", "teams/cygnus.md", "people/noor-haddad.md"],
    ),
    ("Which languages does the lead of Team Cygnus speak?", &["teams/cygnus.md", "people/noor-haddad.md"]),
    (
        "When are the machines patched that Ledger Core runs on?",
        &["systems/ledger-core.md", "systems/granite-cluster.md"],
    ),
    (
        "Who has the key of the hall where Granite Cluster stands?",
        &["systems/granite-cluster.md", "sites/esch-hall.md"],
    ),
    (
        "Up to what amount may the director above Ines Duarte sign orders?",
        &["people/ines-duarte.md", "people/petra-olsen.md"],
    ),
    (
        "When is the office hour of the director that the lead of Team Borealis reports to?",
        &["teams/borealis.md", "people/karl-blum.md", "people/samir-osei.md"],
    ),
    (
        "What is the notice of the contract for the rates that Price Oracle depends on?",
        &["systems/price-oracle.md", "systems/currency-feed.md", "suppliers/halden-data.md"],
    ),
    (
        "Who is the contact of the supplier of the currency feed?",
        &["systems/currency-feed.md", "suppliers/halden-data.md"],
    ),
    (
        "Who manages the depot whose scans the parcel tracker reads?",
        &["systems/parcel-tracker.md", "sites/harbour-depot.md"],
    ),
    ("Where does Team Atlas meet in an evacuation drill?", &["teams/atlas.md", "sites/mill-house.md"]),
    ("Who is the deputy of the lead of Team Atlas?", &["teams/atlas.md", "people/ines-duarte.md"]),
];

/// Questions of one document, which the graph must not make worse.
const PLAIN: [(&str, &str); 8] = [
    ("How many machines has Granite Cluster?", "systems/granite-cluster.md"),
    ("When is the depot at the harbour closed?", "sites/harbour-depot.md"),
    ("Who is called when a system fails?", "policies/leads.md"),
    ("Until when does the contract with Halden Data run?", "suppliers/halden-data.md"),
    ("What is Esch Hall cooled by?", "sites/esch-hall.md"),
    ("how much may Samir Osei sign", "people/samir-osei.md"),
    ("what notice has a contract as a rule", "suppliers/overview.md"),
    ("who is an owner of a system, a team or a person", "policies/ownership.md"),
];

fn filled() -> (Collections, Shown) {
    let (collections, shown) = world();
    for (source, text) in DOCUMENTS {
        put(&collections, &shown, &reader(&["ada"]), &content(source, text));
    }
    (collections, shown)
}

fn asked(collections: &Collections, shown: &Shown, who: &Reader, text: &str, graph: bool) -> Found {
    let labels = Labels::default();
    let query = Query { graph, ..Query::new(text, 5, &labels, NOW) };
    collections.search(who, &shown.collection, &query, &NoModel).expect("searched")
}

/// The share of the documents that each question takes which are among its first five.
fn recall(graph: bool) -> (f64, usize) {
    let (collections, shown) = filled();
    let (mut sum, mut whole) = (0.0, 0);
    for (question, takes) in QUESTIONS {
        let found = asked(&collections, &shown, &reader(&[]), question, graph);
        let there = takes.iter().filter(|source| sources(&found).contains(source)).count();
        sum += there as f64 / takes.len() as f64;
        whole += usize::from(there == takes.len());
    }
    (sum / QUESTIONS.len() as f64, whole)
}

#[test]
fn the_graph_finds_what_a_question_leads_to_and_does_not_say() {
    let ((without, few), (with, many)) = (recall(false), recall(true));
    assert!(
        with > 0.94 && without < 0.84 && many >= few + 3,
        "without {without:.3} ({few}), with {with:.3} ({many})"
    );
    let (collections, shown) = filled();
    for (question, source) in PLAIN {
        let [plain, walked] =
            [false, true].map(|graph| asked(&collections, &shown, &reader(&[]), question, graph));
        assert_eq!(sources(&plain)[0], source, "{question}: {:?}", sources(&plain));
        assert_eq!(sources(&walked)[0], source, "{question}, by the graph: {:?}", sources(&walked));
    }
}

#[test]
fn a_passage_says_by_which_names_it_was_reached() {
    let (collections, shown) = filled();
    let found = asked(&collections, &shown, &reader(&[]), "Who heads the owner of Payment Gateway?", true);
    let atlas = found.evidence.iter().find(|e| e.chunk.source == "teams/atlas.md").expect("it is found");
    assert_eq!(atlas.path, ["payment gateway", "team atlas"]);
    assert!(atlas.graph_rank.is_some());
    let walk = found.explained.walk.expect("there was one");
    assert_eq!(walk.named, ["payment gateway"]);
    assert!(walk.edges > 5 && walk.names > 5, "{walk:?}");
    let plain = asked(&collections, &shown, &reader(&[]), "Who heads the owner of Payment Gateway?", false);
    assert_eq!(plain.explained.walk, None);
    assert!(plain.evidence.iter().all(|e| e.graph_rank.is_none() && e.path.is_empty()));
    let around = collections.neighbours(&reader(&[]), &shown.collection, "Team ATLAS", 50).expect("asked");
    let said: Vec<String> = around.iter().map(|n| format!("{} {} {}", n.from, n.relation, n.to)).collect();
    assert!(said.contains(&"payment gateway owner team atlas".to_owned()), "{said:?}");
    assert!(said.contains(&"team atlas lead ines duarte".to_owned()), "{said:?}");
}

#[test]
fn trap_x8_nobody_walks_over_what_they_may_not_read() {
    let (collections, shown) = world();
    let (ada, eve) = (reader(&["ada"]), reader(&["eve"]));
    let open = "# Project Quill\n\nThe project of the summer.\n";
    put(&collections, &shown, &ada, &content("quill.md", open));
    // The bridge is Ada's alone; what it leads to is everybody's.
    let bridge = Content {
        acl: Some(only("ada")),
        ..content(
            "deal.md",
            "# Deal\n\nProject Quill buys Vantage Works. Vantage Works is run by Greta Moss.\n",
        )
    };
    put(&collections, &shown, &ada, &bridge);
    put(&collections, &shown, &ada, &content("greta.md", "# Greta Moss\n\nBorn in Riga.\n"));
    let question = "Where was the head of the firm born that Project Quill buys?";
    let hers = asked(&collections, &shown, &ada, question, true);
    let reached =
        |found: &Found| found.evidence.iter().find(|e| e.chunk.source == "greta.md").map(|e| e.path.clone());
    assert!(
        reached(&hers).is_some_and(|path| path.contains(&"greta moss".to_owned())),
        "{:?}",
        reached(&hers)
    );
    let others = asked(&collections, &shown, &eve, question, true);
    let shown_to_eve = format!("{others:?}").to_lowercase();
    assert!(!shown_to_eve.contains("vantage"), "{shown_to_eve}");
    assert!(reached(&others).is_none_or(|path| path.is_empty()), "there is no way: {:?}", reached(&others));
    for name in ["Vantage Works", "project quill", "deal.md", "greta moss"] {
        let around = collections.neighbours(&eve, &shown.collection, name, 50).expect("asked");
        assert!(around.iter().all(|n| n.chunk.source != "deal.md"), "{name}: {around:?}");
    }
    assert!(!collections.neighbours(&ada, &shown.collection, "Vantage Works", 50).expect("asked").is_empty());
    // A changed document takes its edges along, and a removed one.
    put(&collections, &shown, &ada, &Content { bytes: b"# Deal\n\nOff.\n", ..bridge });
    assert!(collections.neighbours(&ada, &shown.collection, "Vantage Works", 50).expect("asked").is_empty());
}

#[test]
fn a_collection_that_begins_to_keep_a_graph_gets_it_by_being_put_again() {
    let (collections, shown) = world();
    let who = reader(&["ada"]);
    let without = Wish {
        name: "plain".into(),
        language: "en".into(),
        lexing: None,
        acl: Acl::team(),
        labels: Labels::default(),
        embedder: None,
        graph: false,
        ranking: Ranking::default(),
    };
    collections.declare(team(1), &without, NOW).expect("made");
    let of = || collections.show(&who, "plain").expect("it is there");
    let text = content("a.md", "# Mill\n\nOwner: Team Atlas\n");
    put(&collections, &of(), &who, &text);
    let found = asked(&collections, &of(), &who, "Who owns the mill?", true);
    assert!(found.notes.iter().any(|note| note.contains("keeps no graph")), "{:?}", found.notes);
    collections.declare(team(1), &Wish { graph: true, ..without }, NOW).expect("changed");
    let around = || collections.neighbours(&who, &of().collection, "mill", 9).expect("asked").len();
    assert_eq!(around(), 0);
    assert_eq!(put(&collections, &of(), &who, &text), Change::Unchanged);
    let edges = around();
    assert!(edges > 0);
    put(&collections, &of(), &who, &text);
    assert_eq!(around(), edges, "each once");
    drop(shown);
}
