"""What the formats of `FORMATS` hold, in a line of help, which imports none of them."""

WORDS = {
    "keras-hub": "a plain KerasHub preset, an adapter folded in",
    "hf": "a T5 of Hugging Face's, an adapter folded in",
    "compacter": "an adapter of this program",
    "adapterhub": "a bottleneck adapter of the library adapters",
    "peft": "LoRA, IA3 or a prompt of peft",
}
