"""A Python whose heavy imports are done once: a recipe of the tests starts its forty tools by
forks of it, in milliseconds each in place of seconds.

`warm_python.py FD` is that Python, with a listening socket; `warm_python.py SOCKET -m TOOL
OPTIONS...` stands in the place of `python -m TOOL OPTIONS...`: it hands over its files, folder and
environment, and ends as the tool does.
"""

import atexit
import contextlib
import gc
import json
import os
import runpy
import select
import socket
import sys

IMPORTED = ("comsl.inference", "comsl.training.task", "comsl.baselines.whisper_task")


def serve(listener: socket.socket) -> None:
    """Until standard input ends. Returns in the process of a tool only, ready to run it."""
    from importlib import import_module

    for module in IMPORTED:
        import_module(module)
    gc.freeze()  # memory that no tool writes to stays shared, here and in `run`
    asked: dict[int, tuple[int, socket.socket]] = {}  # file of a tool's process: it, and by whom
    while sys.stdin not in (ready := select.select([listener, sys.stdin, *asked], [], [])[0]):
        for file in asked.keys() & set(ready):
            tool, connection = asked.pop(file)
            _, status = os.waitpid(tool, 0)
            with contextlib.suppress(BrokenPipeError):  # it may have been killed meanwhile
                connection.send(str(os.waitstatus_to_exitcode(status)).encode())
            connection.close()
            os.close(file)
        if listener in ready:
            connection, _ = listener.accept()
            if tool := os.fork():
                asked[os.pidfd_open(tool)] = tool, connection
            else:
                listener.close()
                take_over(connection)
                return
    sys.exit()


def take_over(connection: socket.socket) -> None:
    """Become the process that has asked."""
    message, files, *_ = socket.recv_fds(connection, 1 << 20, 3)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    connection.close()
    folder, environment, sys.argv = json.loads(message)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[0] = folder


def run(tool: str) -> None:
    """As `python -m` does, but for the clearing of modules at the end."""
    status = 0
    try:
        runpy.run_module(tool, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def ask(path: str, words: list[str]) -> int:
    """Have a tool run. Returns its exit status."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(path)
    message = json.dumps([os.getcwd(), dict(os.environ), words])
    socket.send_fds(connection, [message.encode()], [0, 1, 2])
    return int(connection.recv(16))


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit(ask(sys.argv[1], sys.argv[3:]))
    serve(socket.socket(fileno=int(sys.argv[1])))
    run(sys.argv[0])
