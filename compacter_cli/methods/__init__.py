"""The fine-tuning methods, one file each: in the order of the paper's tables, then those beyond."""

from compacter_cli.errors import Named
from compacter_cli.methods.adapter import Adapter
from compacter_cli.methods.adapterdrop import AdapterDrop
from compacter_cli.methods.base import Method
from compacter_cli.methods.bitfit import BitFit
from compacter_cli.methods.compacter import Compacter
from compacter_cli.methods.compacterpp import CompacterPP
from compacter_cli.methods.full import Full
from compacter_cli.methods.ia3 import IA3
from compacter_cli.methods.krona import KronA
from compacter_cli.methods.lora import LoRA
from compacter_cli.methods.lowrank import LowRank
from compacter_cli.methods.lphm import LPHM
from compacter_cli.methods.pfeiffer import Pfeiffer
from compacter_cli.methods.phm import PHM
from compacter_cli.methods.prompt_r import PromptR
from compacter_cli.methods.prompt_t import PromptT
from compacter_cli.methods.said import SAID

METHODS: Named[type[Method]] = Named(
    "method",
    {
        "full": Full,
        "adapter": Adapter,
        "pfeiffer": Pfeiffer,
        "adapterdrop": AdapterDrop,
        "lowrank": LowRank,
        "prompt_r": PromptR,
        "prompt_t": PromptT,
        "said": SAID,
        "bitfit": BitFit,
        "phm": PHM,
        "compacter": Compacter,
        "compacterpp": CompacterPP,
        "lora": LoRA,
        "ia3": IA3,
        "lphm": LPHM,
        "krona": KronA,
    },
)
"""The class of each method's settings, by its name in recipes: `METHODS["compacterpp"](n=4)`."""
