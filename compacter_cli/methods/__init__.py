"""The fine-tuning methods, one file each, in the order of the paper's tables."""

from compacter_cli.methods.adapter import Adapter
from compacter_cli.methods.compacter import Compacter
from compacter_cli.methods.compacterpp import CompacterPP
from compacter_cli.methods.full import Full

METHODS = {
    "full": Full,
    "adapter": Adapter,
    "compacter": Compacter,
    "compacterpp": CompacterPP,
}
