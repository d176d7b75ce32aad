"""Trains bedplate-guide on the corpus and writes the GGUF.

    python -m venv .venv && .venv/bin/pip install -r requirements.txt
    .venv/bin/python train.py                  # writes bedplate-guide.q8_0.gguf and scores.json

Seeded, on the CPU. Two runs with the same torch, thread count and kind of CPU
give the same file; another kind of CPU may round otherwise. The number of steps
is fixed, so the result does not depend on how busy the machine is. One thread
by default: on a shared machine two threads mostly wait for each other.
"""

import argparse
import json
import math
import pathlib
import random
import time

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

import chat
import export
import facts as corpus
from model import Config, Llama

HERE = pathlib.Path(__file__).parent


# (share of the steps, share of conversations cut short). The answers are learnt
# by heart soon; what takes long is telling which question wants which answer,
# and that is decided in an answer's first tokens. So most of the middle phase
# sees single questions with the first OPENING tokens of the answer: three times
# as many questions for the same work. The last phase heals the rest.
PHASES = [(0.30, 0.0), (0.58, 0.8), (0.12, 0.4)]
OPENING = 10


def batches(sampler, tokenizer, context, tokens_per_batch, seed, short):
    """Endless batches of conversations of similar length: (ids, mask), padded."""
    rng = random.Random(seed)
    while True:
        pool = []
        while len(pool) < 512:
            cut = rng.random() < short
            ids, mask = chat.encode(tokenizer, *sampler.conversation(single=cut))
            end = mask.index(1) + OPENING if cut else context
            pool.append((ids[:end], mask[:end]))
        pool.sort(key=lambda row: len(row[0]))
        groups, group = [], []
        for row in pool:
            if group and len(row[0]) * (len(group) + 1) > tokens_per_batch:
                groups.append(group)
                group = []
            group.append(row)
        groups.append(group)
        rng.shuffle(groups)
        for group in groups:
            width = max(len(ids) for ids, _ in group)
            yield (torch.tensor([ids + [chat.PAD] * (width - len(ids)) for ids, _ in group]),
                   torch.tensor([mask + [0] * (width - len(mask)) for _, mask in group], dtype=torch.bool))


@torch.no_grad()
def exact(model, tokenizer, rows):
    """True per row where greedy decoding gives the canonical answer and then ends.

    Decided in one pass: greedy decoding reproduces a text exactly when every
    token of it is the likeliest one after the tokens before it.
    """
    model.eval()
    encoded = [chat.encode(tokenizer, None, [(question, answer)]) for _, _, question, answer in rows]
    right = [False] * len(rows)
    order = sorted(range(len(rows)), key=lambda i: len(encoded[i][0]))
    for start in range(0, len(order), 64):
        part = order[start:start + 64]
        width = max(len(encoded[i][0]) for i in part)
        ids = torch.tensor([encoded[i][0] + [chat.PAD] * (width - len(encoded[i][0])) for i in part])
        mask = torch.tensor([encoded[i][1] + [0] * (width - len(encoded[i][1])) for i in part], dtype=torch.bool)
        best = model(ids[:, :-1]).argmax(-1)
        good = ((best == ids[:, 1:]) | ~mask[:, 1:]).all(1)
        for i, ok in zip(part, good.tolist()):
            right[i] = ok
    return right


@torch.no_grad()
def greedy(model, tokenizer, questions, system=None, limit=64):
    """Greedy answers; questions of one length are decoded together."""
    model.eval()
    prompts = [chat.encode(tokenizer, system, [(question, None)])[0] for question in questions]
    answers = [""] * len(prompts)
    for length in sorted({len(prompt) for prompt in prompts}):
        part = [i for i, prompt in enumerate(prompts) if len(prompt) == length]
        ids = torch.tensor([prompts[i] for i in part])
        for _ in range(limit):
            best = model(ids)[:, -1].argmax(-1)
            best[(ids[:, length:] == chat.END).any(1)] = chat.END
            ids = torch.cat([ids, best[:, None]], 1)
            if (best == chat.END).all():
                break
        for i, row in zip(part, ids[:, length:].tolist()):
            answers[i] = tokenizer.decode(row[: row.index(chat.END)] if chat.END in row else row)
    return answers


def score(model, tokenizer, rows):
    """Per test set: n, the exact share, and the share that answers with the right fact, if in other words."""
    right = exact(model, tokenizer, rows)
    wrong = [row for row, ok in zip(rows, right) if not ok]
    said = iter(greedy(model, tokenizer, [question for _, _, question, _ in wrong], limit=20))
    table, misses = {}, []
    for (name, key, question, answer), ok in zip(rows, right):
        entry = table.setdefault(name, {"n": 0, "exact": 0, "fact": 0})
        text = answer if ok else next(said)
        entry["n"] += 1
        entry["exact"] += ok
        entry["fact"] += ok or text[:24] == answer[:24]  # the first 24 characters tell the facts apart
        if not ok:
            misses.append({"set": name, "fact": key, "question": question, "said": text})
    for entry in table.values():
        entry["exact"], entry["fact"] = round(entry["exact"] / entry["n"], 4), round(entry["fact"] / entry["n"], 4)
    return table, misses


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--steps", type=int, default=4000)
    args.add_argument("--batch-tokens", type=int, default=2048)
    args.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    args.add_argument("--drop", type=float, default=0.1)
    args.add_argument("--seed", type=int, default=4600)
    args.add_argument("--threads", type=int, default=1)
    args.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=True, help="matrix products in bfloat16")
    args.add_argument("--out", type=pathlib.Path, default=HERE)
    args.add_argument("--version", default="1")
    args.add_argument("--init", type=pathlib.Path, help="a former --out: go on from its checkpoint, with its tokenizer and a fresh optimizer")
    args.add_argument("--phases", help="instead of PHASES: share:short,share:short")
    args = args.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid that costs 7 % of the time

    began, cpu = time.time(), time.process_time()
    facts = corpus.load()
    rows = corpus.held_out(facts)
    config = Config()
    tokenizer = (Tokenizer.from_file(str(args.init / "tokenizer.json")) if args.init
                 else chat.train_tokenizer(facts, config.vocab, args.seed))
    tokenizer.save(str(args.out / "tokenizer.json")) if args.out != HERE else None
    model = Llama(config, args.drop)
    if args.init:
        model.load_state_dict(torch.load(args.init / "checkpoint.pt"))
    phases = [tuple(map(float, phase.split(":"))) for phase in args.phases.split(",")] if args.phases else PHASES
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{len(facts)} facts, {len(rows)} held-out questions, {parameters:,} parameters", flush=True)

    decayed = [p for p in model.parameters() if p.dim() == 2]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1},
                                   {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0}],
                                  lr=args.rate, betas=(0.9, 0.98), eps=1e-8, fused=True)
    sampler = corpus.Sampler(facts, args.seed)
    ends = [math.ceil(args.steps * min(1.0, 1e-9 + sum(share for share, _ in phases[:i + 1]))) for i in range(len(phases))]
    sources = [batches(sampler, tokenizer, config.context, args.batch_tokens, args.seed + i, short)
               for i, (_, short) in enumerate(phases)]
    warm = max(20, args.steps // 25)
    for step in range(1, args.steps + 1):
        rate = args.rate * (step / warm if step < warm else 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, args.steps - warm))))
        for group in optimizer.param_groups:
            group["lr"] = rate
        ids, mask = next(sources[next(i for i, end in enumerate(ends) if step <= end)])
        model.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            logits = model(ids[:, :-1], mask[:, 1:])
        loss = F.cross_entropy(logits.float(), ids[:, 1:][mask[:, 1:]])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0 or step == args.steps:
            print(f"step {step}/{args.steps} loss {loss.item():.4f} {(time.time() - began) / step:.2f} s/step", flush=True)
        if step % 500 == 0 and step < args.steps:
            quick = rows[:: max(1, len(rows) // 300)]
            print(f"  exact on {len(quick)} held-out: {sum(exact(model, tokenizer, quick)) / len(quick):.3f}", flush=True)
            torch.save(model.state_dict(), args.out / "checkpoint.pt") if args.out != HERE else None

    export.round_trip(model)
    path = args.out / "bedplate-guide.q8_0.gguf"
    export.write(path, model, tokenizer, args.version)
    table, misses = score(model, tokenizer, rows)
    result = {"version": args.version, "facts": len(facts), "parameters": parameters, "bytes": path.stat().st_size,
              "steps": args.steps, "seed": args.seed, "threads": args.threads, "torch": torch.__version__,
              "wall_s": round(time.time() - began), "cpu_s": round(time.process_time() - cpu), "held_out": table}
    (args.out / "scores.json").write_text(json.dumps(result, indent=1) + "\n")
    if args.out != HERE:
        (args.out / "misses.jsonl").write_text("".join(json.dumps(miss) + "\n" for miss in misses))
        torch.save(model.state_dict(), args.out / "checkpoint.pt")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
