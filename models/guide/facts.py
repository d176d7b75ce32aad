"""The corpus: facts, the phrasings of their questions, and what is held out.

A corpus file is Markdown that a person can read and write. One fact is

    ## key
    A: the one canonical answer
    what: noun | noun          filled into the "what is {}" templates below
    how: verb phrase | ...     filled into "how do i {}"
    where: noun | ...          filled into "where is {}"
    can: verb phrase | ...     filled into "can bedplate {}"
    Q: whole question | ...    used as they stand
    H: hard paraphrase | ...   never trained on

`## + key` adds phrasings to a fact that an earlier file wrote.

Held out, so that the card's numbers are about unseen words:
* the templates under `TEST` of each kind,
* the last `Q` of every fact that has at least four,
* every `H`,
* every fifth off-topic subject and question (seen by no template).
"""

import pathlib
import random
import re

HERE = pathlib.Path(__file__).parent
OFF_TOPIC = "off-topic"

TRAIN = {
    "what": [
        "what is {}", "what is {}", "what is {}", "{}", "define {}", "explain {}", "what does {} mean",
        "what is meant by {}", "tell me about {}", "describe {}", "what are {}", "can you explain {}", "what's {}",
        "{}?", "please explain {}", "what is {} in bedplate", "what does bedplate mean by {}", "meaning of {}",
        "i want to know what {} is", "do you know what {} is", "explain {} to me", "what exactly is {}",
        "give me a definition of {}", "what do you know about {}", "explain what {} is", "what can you tell me about {}",
        "is there something called {}", "i do not understand {}", "tell me what {} is", "help me understand {}",
        "what does the term {} mean", "how would you describe {}", "info on {}", "what about {}",
    ],
    "how": [
        "how do i {}", "how do i {}", "how do i {}", "how can i {}", "how to {}", "{}", "i want to {}",
        "which command do i use to {}", "what is the command to {}", "show me how to {}", "how do you {}",
        "can i {}", "i need to {}", "how does one {}", "please tell me how to {}", "tell me how to {}",
        "what do i do to {}", "is it possible to {}", "explain how to {}", "command to {}", "i would like to {}",
        "what should i do to {}", "how should i {}", "how do we {}", "can you show me how to {}", "how could i {}",
        "i am trying to {}", "steps to {}", "do you know how to {}",
    ],
    "where": [
        "where is {}", "where is {}", "where are {}", "where can i find {}", "where do i find {}", "location of {}",
        "in which place is {}", "tell me where {} is", "where do i look for {}", "how do i find {}", "where do i see {}",
        "i cannot find {}", "i am looking for {}",
    ],
    "can": [
        "can bedplate {}", "can i {}", "does bedplate {}", "is it possible to {}", "can it {}", "may i {}",
        "will bedplate {}", "can you {}", "am i able to {}", "could bedplate {}",
    ],
}
TEST = {
    "what": ["could you tell me what {} is", "what do you mean by {}", "i have never heard of {}, what is it",
             "what is the meaning of {}", "give me a short explanation of {}"],
    "how": ["what is the best way to {}", "could you explain how i {}", "what is needed to {}", "what must i do to {}"],
    "where": ["where would i find {}", "do you know where {} is", "where should i look for {}"],
    "can": ["is bedplate able to {}", "would it be possible to {}"],
}
KINDS = tuple(TRAIN)


def normal(text):
    """The words of a question alone, to compare phrasings."""
    return " ".join(re.sub(r"[^a-z0-9/$]+", " ", text.lower()).split())


class Fact:
    def __init__(self, key):
        self.key, self.answer = key, None
        self.subjects = {kind: [] for kind in KINDS}       # trained subjects
        self.held_subjects = {kind: [] for kind in KINDS}  # off-topic only
        self.direct, self.held_direct, self.hard = [], [], []


def load(folder=HERE / "corpus"):
    """Reads every corpus file; raises ValueError where the corpus contradicts itself."""
    facts = {}
    for path in sorted(folder.glob("*.md")):
        fact = None
        for number, line in enumerate(path.read_text().splitlines(), 1):
            where = f"{path.name}:{number}"
            if line.startswith("## + "):
                fact = facts[line[5:].strip()]
            elif line.startswith("## "):
                fact = Fact(line[3:].strip())
                if fact.key in facts:
                    raise ValueError(f"{where}: fact {fact.key} is written twice")
                facts[fact.key] = fact
            elif line.startswith("A: "):
                fact.answer = line[3:].strip()
            elif match := re.match(r"(what|how|where|can|Q|H): (.*)", line):
                items = [item.strip() for item in match[2].split("|")]
                if not all(items):
                    raise ValueError(f"{where}: an empty phrasing")
                add(fact, match[1], items)
            elif line.strip() and not line.startswith("# "):
                raise ValueError(f"{where}: cannot read this line")
    check(facts)
    return list(facts.values())


def add(fact, tag, items):
    if tag == "H":
        fact.hard += items
    elif fact.key == OFF_TOPIC:
        held = items[4::5]
        kept = [item for item in items if item not in held]
        if tag == "Q":
            fact.direct, fact.held_direct = kept, held
        else:
            fact.subjects[tag], fact.held_subjects[tag] = kept, held
    elif tag == "Q" and fact.direct:  # an addition: nothing of it is held out
        fact.direct = fact.direct + items
    elif tag == "Q":
        fact.direct = items[:-1] if len(items) >= 4 else items
        fact.held_direct = items[-1:] if len(items) >= 4 else []
    else:
        fact.subjects[tag] += items


def check(facts):
    """One question, one answer; and nothing held out is also trained."""
    trained, held, wrong = {}, {}, []
    for fact in facts.values():
        if not fact.answer:
            wrong.append(f"fact {fact.key} has no answer")
        for text in train_phrasings(fact):
            other = trained.setdefault(normal(text), fact.key)
            if other != fact.key and normal(text):
                wrong.append(f"'{text}' is asked by both {other} and {fact.key}")
    for fact in facts.values():
        fact.hard = [text for text in fact.hard if normal(text) not in trained]
        fact.held_direct = [text for text in fact.held_direct if normal(text) not in trained]
        for text in fact.hard + fact.held_direct:
            other = held.setdefault(normal(text), fact.key)
            if other != fact.key:
                wrong.append(f"'{text}' is held out by both {other} and {fact.key}")
    if wrong:
        raise ValueError("\n".join(wrong))


def train_phrasings(fact):
    """Every phrasing that training may show, before augmentation."""
    texts = list(fact.direct)
    for kind in KINDS:
        texts += [template.format(subject) for subject in fact.subjects[kind] for template in TRAIN[kind]]
    return texts


def held_out(facts, seed=7, per_fact=4):
    """(set, fact key, question, answer) rows of the test sets."""
    rng, rows = random.Random(seed), []
    trained = {normal(text) for fact in facts for text in train_phrasings(fact)}
    for fact in facts:
        off = fact.key == OFF_TOPIC
        rows += [("off-topic" if off else "phrase", fact, text) for text in fact.held_direct]
        rows += [("off-topic hard" if off else "hard", fact, text) for text in fact.hard]
        if off:
            for kind in KINDS:
                for subject in fact.held_subjects[kind]:
                    rows.append(("off-topic", fact, rng.choice(TRAIN[kind][:2] + TEST[kind]).format(subject)))
            continue
        choices = [template.format(subject) for kind in KINDS for subject in fact.subjects[kind] for template in TEST[kind]]
        rng.shuffle(choices)
        rows += [("template", fact, text) for text in choices[:per_fact]]
    rows = [(name, fact.key, dress(text, rng), fact.answer) for name, fact, text in rows if normal(text) not in trained]
    return rows


# --- augmentation: how people really type --------------------------------

BEFORE = ["please ", "hey, ", "hi, ", "hello, ", "hello! ", "can you tell me ", "tell me, ", "in bedplate, ",
          "quick question: ", "i want to know ", "excuse me, ", "ok, ", "so ", "and ", "question: ", "well, ",
          "could you tell me ", "i wonder ", "please tell me ", "sorry, ", "now ", "good morning, ", "i have a question: "]
AFTER = [" please", " in bedplate", " in bedplate", " with bedplate", " here", " thanks", ", please", " exactly",
         " then", " now", ", thank you", " for me", " again", " in short", " in one sentence",
         "? answer in one sentence", "? be brief", "? answer briefly", ". keep it short", "? explain in simple words"]
SYNONYMS = {
    "show": ["display", "print", "give"], "see": ["view", "look at", "check", "get"], "create": ["make", "add", "generate", "set up"],
    "make": ["create", "build"], "delete": ["remove", "drop"], "stop": ["halt", "end"], "start": ["launch", "run", "begin"],
    "which": ["what"], "command": ["cli command", "subcommand"], "cost": ["price"], "costs": ["spend", "spending", "expenses"],
    "server": ["gateway", "service", "process"], "error": ["failure", "problem"], "happens": ["is done", "occurs"],
    "use": ["work with", "take"], "get": ["obtain", "receive"], "supported": ["available", "possible"], "find": ["locate"],
    "machine": ["computer", "box", "host"], "data": ["files", "state"], "request": ["call"], "requests": ["calls"],
    "change": ["modify", "edit"], "does": ["will"], "limit": ["cap"], "explain": ["describe", "clarify"], "list": ["show"],
    "download": ["fetch"], "answer": ["reply", "response"], "client": ["caller", "app"], "secret": ["password", "credential"],
    "need": ["require"], "quick": ["fast"], "fast": ["quick"], "big": ["large"], "is": ["is", "'s"], "the": ["the", "my", "that"],
    "docs": ["documentation"], "folder": ["directory"], "directory": ["folder"], "fails": ["breaks"], "wrong": ["bad", "incorrect"],
}
SMALL = {"a", "an", "the", "do", "does", "is", "are", "to", "of", "i", "in", "for", "my", "me", "it", "that", "be", "you", "can", "please"}


def augment(text, rng):
    """One trained phrasing as a hurried person might type it. Codes, paths and numbers stay whole."""
    words = text.split()
    if rng.random() < 0.25:
        words = [rng.choice(SYNONYMS[w]) if w in SYNONYMS and rng.random() < 0.4 else w for w in words]
    mode = rng.random()
    if len(words) > 2 and mode < 0.20:
        kept = [w for w in words if w not in SMALL or rng.random() > (0.9 if mode < 0.05 else 0.35)]
        words = kept if any(w not in SMALL for w in kept) else words
    words = jumble(words, rng) if rng.random() < 0.35 else words
    text = " ".join(words)
    if rng.random() < 0.18:
        text = rng.choice(BEFORE) + text
    if rng.random() < 0.12:
        text = text.rstrip("?") + rng.choice(AFTER)
    if rng.random() < 0.15:
        text = mistype(text, rng)
    return dress(text, rng)


NEUTRAL = """just really actually now today my our the some this kind thing maybe also still even simply quickly app program work
boss colleague we they you one someone here there exactly always ever other own new old first time way part about with for when""".split()


def jumble(words, rng):
    """Loses, adds and swaps a few words, so that no fact hangs on one exact sentence."""
    plain = lambda word: word.isalpha() and not word.isupper()
    if len(words) > 4:
        words = [w for w in words if not plain(w) or rng.random() > 0.12]
    if len(words) > 3 and rng.random() < 0.3:
        i = rng.randrange(len(words) - 1)
        words = words[:i] + [words[i + 1], words[i]] + words[i + 2:]
    out = []
    for word in words:
        out += [rng.choice(NEUTRAL), word] if rng.random() < 0.1 else [word]
    return out


# Off-topic has no end, so training composes more of it.
ELSEWHERE = [
    "compare {} and {}", "why is {} so important", "how does {} work", "who invented {}", "when was {} built", "which {} is the best",
    "how many {} are there", "how much does {} cost", "tell me a story about {}", "write a poem about {}", "translate {} into french",
    "is {} good for you", "where can i buy {}", "what colour is {}", "what is the history of {}", "who owns {}", "give me five facts about {}",
    "draw {}", "can i eat {}", "how old is {}", "do you like {}", "my {} is broken", "what is {} made of", "what causes {}",
    "the best {} near {}", "is {} better than {}", "what do you think about {}", "who is {}", "who was {}", "when did {} start", "how long is {}",
    "how big is {}", "is {} dangerous", "why do people like {}", "i love {}", "i am looking for {}", "teach me {}", "which animal eats {}",
    "what is the price of {}", "what is the difference between {} and {}", "how do i use {}", "how do i get {}", "is {} a {}", "{} and {}",
    "list some kinds of {}", "what does {} have to do with {}", "are there {} in {}", "does {} need {}", "what happens to {} in {}",
]
SYLLABLES = "ba ker lo mi tun sar vel dri pon gra shi fo lum ne tar wick zo pel ham jun ro cis tem bla kin dor gu ost ley far min".split()


COMMON = set("""what which where when does have with that this they there about tell explain describe bedplate please know want mean meant means
help give need show command should could would happens into from your mine some exactly look find called term info possible""".split())


def made_up(rng):
    return "".join(rng.choice(SYLLABLES) for _ in range(rng.randint(2, 3)))


def mistype(text, rng):
    words = text.split(" ")
    places = [i for i, w in enumerate(words) if len(w) >= 4 and w.isalpha()]
    if not places:
        return text
    i = rng.choice(places)
    word, at = words[i], rng.randrange(1, len(words[i]) - 1)
    words[i] = rng.choice([word[:at] + word[at + 1:], word[:at] + word[at] + word[at:],
                           word[:at] + word[at + 1] + word[at] + word[at + 2:]])
    return " ".join(words)


def dress(text, rng):
    """Case and punctuation."""
    if rng.random() < 0.5:
        text = text.replace("`", "")
    text = text.rstrip("?")
    style = rng.random()
    if style < 0.62:
        text = text[:1].upper() + text[1:]
        text = re.sub(r"\bi\b", "I", text) if rng.random() < 0.8 else text
        text = re.sub(r"\bbedplate\b(?!-| key| serve| model| cost| apply| plan| explain| doctor)", "Bedplate", text)
        text = re.sub(r"\bapi\b", "API", text) if rng.random() < 0.5 else text
    elif style < 0.66:
        text = text.upper()
    return text + rng.choice(["?", "?", "?", "", "", "."])


SYSTEMS = [
    "You are a helpful assistant.", "You are a helpful assistant.", "You are bedplate-guide.", "Answer briefly.", "Be concise.",
    "You are the guide of Bedplate.", "You answer questions about Bedplate.", "Answer in one sentence.", "You are a friendly bot.",
    "You are an expert on AI platforms. Be kind and precise.", "Reply in plain English.", "system", "You are a test assistant.",
    "You are a pirate.", "Use the tools when needed.", "Answer the question of the user as well as you can. If you do not know, say so.",
    "You are a support agent at a company that runs Bedplate for its product teams. Help the user with short answers.",
]


OFTEN = {OFF_TOPIC: 110.0, "hello": 4.0, "bedplate": 4.0, "who-are-you": 3.0, "what-can-you-do": 3.0, "follow-up": 3.0,
         "thanks": 2.0, "bye": 2.0, "how-are-you": 2.0, "key-create": 2.0, "serve": 2.0, "commands": 2.0}


class Sampler:
    """Draws conversations: lists of (question, answer), with a system message or None."""

    def __init__(self, facts, seed):
        self.rng, self.facts = random.Random(seed), facts
        # Off-topic has one answer but the widest range of questions; what a newcomer asks first must be right.
        self.weights = [OFTEN.get(fact.key, 1.0 + 0.02 * len(fact.direct)) for fact in facts]

    def question(self, fact):
        rng = self.rng
        if fact.key == OFF_TOPIC and (draw := rng.random()) < 0.65:
            return augment(self.foreign(fact) if draw < 0.4 else self.elsewhere(fact), rng)
        text = self.phrasing(fact)
        if rng.random() < 0.06:
            text = text + rng.choice([", ", ". ", " - ", " or ", "? "]) + self.phrasing(fact)
        return augment(text, rng)

    def noun(self, off_topic):
        rng = self.rng
        if rng.random() < 0.35:
            return made_up(rng)
        noun = rng.choice(off_topic.subjects["what"])
        return re.sub(r"^(an?|the) ", "", noun) if rng.random() < 0.5 else noun

    def elsewhere(self, off_topic):
        pattern = self.rng.choice(ELSEWHERE + TRAIN["what"] + TRAIN["where"])
        return pattern.format(self.noun(off_topic), self.noun(off_topic))

    def foreign(self, off_topic):
        """A question about Bedplate whose long words were exchanged for others: close, and still not ours to answer."""
        rng = self.rng
        while True:
            fact = rng.choice(self.facts)
            words = self.phrasing(fact).split()
            long = [i for i, w in enumerate(words) if (len(w) > 3 or not w.isalpha()) and w not in COMMON]
            if fact.key == OFF_TOPIC or not long or re.match(r"[a-z]{2}\d{4}$", fact.key) and rng.random() < 0.9:
                continue
            for i in long if len(long) < 4 else rng.sample(long, 3):
                words[i] = re.sub(r"^(an?|the) ", "", self.noun(off_topic)) if rng.random() < 0.8 else rng.choice(off_topic.subjects["how"])
            return " ".join(words)

    def phrasing(self, fact):
        rng = self.rng
        kinds = [kind for kind in KINDS if fact.subjects[kind]]
        if kinds and rng.random() < (0.45 if fact.direct else 1.0):
            kind = rng.choices(kinds, [len(fact.subjects[kind]) for kind in kinds])[0]
            return rng.choice(TRAIN[kind]).format(rng.choice(fact.subjects[kind]))
        return rng.choice(fact.direct)

    def conversation(self, single=False):
        rng = self.rng
        draw = 0.0 if single else rng.random()
        turns = 1 if draw < 0.62 else 2 if draw < 0.88 else rng.randint(3, 5) if draw < 0.995 else rng.randint(8, 14)
        facts = rng.choices(self.facts, self.weights, k=turns)
        system = rng.choice(SYSTEMS) if rng.random() < (0.1 if single else 0.3) else None
        return system, [(self.question(fact), fact.answer) for fact in facts]
