"""`python -m mesh.demo`: the demo without the rest of the `mesh` command."""

import typer

from mesh.demo.command import demo

if __name__ == "__main__":
    typer.run(demo)
