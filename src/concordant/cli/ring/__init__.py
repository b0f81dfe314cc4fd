"""``concordant ring``: placement by hand, exactly as services compute it."""

from concordant.cli.ring.balance import balance
from concordant.cli.ring.diff import diff
from concordant.cli.ring.group import ring
from concordant.cli.ring.locate import locate
from concordant.cli.ring.nodes import parse_node
from concordant.cli.ring.plan import plan
from concordant.cli.ring.show import show

ring.add_command(locate)
ring.add_command(show)
ring.add_command(balance)
ring.add_command(plan)
ring.add_command(diff)

__all__ = ["parse_node", "ring"]
