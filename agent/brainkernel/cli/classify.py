"""Say what programs are, from records in a file. They need not run, nor exist, on this host.

Records `{id, exe, argv, comm, parents, uid, cwd}`, and optionally `cgroup`, come in, one JSON object a line; out
come `{id, category, confidence, tier, reason, latency_ms}` in the same order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from brainkernel.cli import jsonl, options

if TYPE_CHECKING:
    import argparse

    from brainkernel.classify.tiers import Judge
    from brainkernel.model import Tier

EXAMPLES = (
    ("brainkernel classify --input programs.jsonl --output verdicts.jsonl", "by rules and package knowledge, then an LLM if there is one"),
    ("brainkernel classify --tiers rules < programs.jsonl", "by rules and package knowledge alone"),
    ("brainkernel classify --tiers rules,model < programs.jsonl", "and by the local model what those do not know, without an LLM"),
    ("brainkernel classify --tiers llm --backend ollama --input programs.jsonl", "by an LLM alone"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of classify."""
    jsonl.add_input(parser, "records of programs")
    jsonl.add_output(parser, "the verdicts")
    parser.add_argument(
        "--tiers", default="rules,cache,model,llm", metavar="T", help="who may answer, of rules,cache,model,llm (default: %(default)s)"
    )
    parser.add_argument("--backend", choices=("ollama", "groq", "llamacpp", "none"), help="which LLM (default: the configuration's)")
    options.add_config(parser)


def run(arguments: argparse.Namespace) -> int:
    """Classify all records."""
    from brainkernel import config  # noqa: PLC0415 # --help needs none of it
    from brainkernel.classify import offline  # noqa: PLC0415
    from brainkernel.model import Tier  # noqa: PLC0415

    wanted = offline.tiers_named(arguments.tiers)
    settings = config.load(arguments.config).llm
    asker = None
    if Tier.LLM in wanted and arguments.backend != "none":
        from brainkernel.cli.llm_asker import asker_of  # noqa: PLC0415 # LLM clients

        asker = asker_of(settings, arguments.backend)
    with jsonl.opened_input(arguments.input) as source, jsonl.opened_output(arguments.output) as target:
        offline.classify_file(source, target, _judges(wanted), asker)
    return 0


# The cache is the running agent's: offline, that tier passes.
def _judges(wanted: frozenset[Tier]) -> list[Judge]:
    from brainkernel.classify.knowledge import Knowledge  # noqa: PLC0415 # YAML
    from brainkernel.classify.model import LocalModel, ModelTier  # noqa: PLC0415
    from brainkernel.classify.ruleset import load  # noqa: PLC0415
    from brainkernel.classify.tiers import RulesTier  # noqa: PLC0415
    from brainkernel.model import Tier  # noqa: PLC0415

    knowledge = Knowledge()
    judges: list[Judge] = [RulesTier(load(knowledge=knowledge))] if Tier.RULES in wanted else []
    return [*judges, ModelTier(LocalModel(), knowledge)] if Tier.MODEL in wanted else judges
