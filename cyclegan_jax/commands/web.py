"""Writes a page on which a scan is translated in the browser, and nothing leaves the computer.

    cyclegan-jax web --model=ixi-2mm --out=site --serve
    cyclegan-jax web --out=site --serve

The folder holds all that the page needs, so any static server serves it. --serve does so on this
computer alone; without --model and --workdir it serves a folder that was written before.
"""

from pathlib import Path

from absl import flags

from cyclegan_jax.system import cli

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")
_MODEL = flags.DEFINE_string(
    "model", None, "Instead of --workdir: folder of an exported model, or name of a shipped one."
)
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "best", "best (by the score during training), latest, or a step."
)
_OUT = flags.DEFINE_string("out", None, "Folder to make; it must not exist.", required=True)
_SERVE = flags.DEFINE_bool("serve", False, "Serve the folder to browsers on this computer.")
_NAME = flags.DEFINE_string("name", "", "Name of the model; default: that of the source.")
_DATA = flags.DEFINE_string("data", "", "The training data in words.")
_LICENSE = flags.DEFINE_string("license", "", "Licence of the training data.")


def main(arguments: list[str]) -> int:
    """Runs the command on what follows its flags, and returns its exit status."""
    cli.refuse_arguments(arguments)
    out = Path(_OUT.value)
    # late: --help and a bad flag answer at once
    from cyclegan_jax.export import web, web_server

    if _SERVE.value and not _MODEL.value and not _WORKDIR.value:
        web.check_site(out)
    else:
        from cyclegan_jax.trained.origin import origin_of

        origin = origin_of(_WORKDIR.value, _CHECKPOINT.value, _MODEL.value)
        web.write_site(origin, out, _NAME.value, _DATA.value, _LICENSE.value)
        print(f"written to {out}", flush=True)
    if _SERVE.value:
        with web_server.server_of(out) as server:
            host, port = server.server_address[:2]
            print(f"open http://{host}:{port}/ (Ctrl+C stops)", flush=True)
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                print()
    return 0
