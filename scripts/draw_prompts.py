"""The few-shot draws of one step."""

from selfalign.data.job import run_script, write_json
from selfalign.generation.draws import draw_prompts
from selfalign.generation.fewshot import load_fewshot


def main(smk):
    cfg, step = smk.params.cfg, smk.wildcards.step
    chat = {"path": cfg["model"]["path"], "revision": cfg["model"]["revision"]} if "model" in cfg else None
    prompts = draw_prompts(load_fewshot(smk.input.fewshot), step, cfg[step], cfg["seed"], chat)
    write_json(prompts, smk.output.prompts)
    return {"examples": len(prompts["examples"]), "draws": len(prompts["draws"]), "orders": len(prompts["usage"]["orders"])}


if __name__ == "__main__":
    run_script(main, snakemake)  # noqa: F821
