"""Reads supervisord files with supervisord's own parser and prints what it makes of them, a line of JSON per file.

The names of the files come in on standard input, one per line. A file that supervisord refuses gives {"error": text}.
"""
import json
import os
import shlex
import sys
import warnings

warnings.simplefilter("ignore")

from supervisor import datatypes, options  # noqa: E402


def log_file(value):
    if value is datatypes.Automatic:
        return "AUTO"
    return value or None


def restart(value):
    if value is datatypes.RestartUnconditionally:
        return "always"
    return "on-failure" if value is datatypes.RestartWhenExitUnexpected else "never"


def words(command):
    try:
        return shlex.split(command)
    except ValueError:
        return None


def process(group, config):
    return {
        "group": group.name,
        "groupPriority": group.priority,
        "name": config.name,
        "argv": words(config.command),
        "cwd": config.directory,
        "umask": config.umask,
        "priority": config.priority,
        "autostart": config.autostart,
        "restart": restart(config.autorestart),
        "startsecs": config.startsecs,
        "startretries": config.startretries,
        "stopsignal": int(config.stopsignal),
        "stopwaitsecs": config.stopwaitsecs,
        "stopasgroup": config.stopasgroup,
        "killasgroup": config.killasgroup,
        "exitcodes": config.exitcodes,
        "uid": config.uid,
        "redirect_stderr": config.redirect_stderr,
        "stdout": [log_file(config.stdout_logfile), config.stdout_logfile_maxbytes, config.stdout_logfile_backups],
        "stderr": [log_file(config.stderr_logfile), config.stderr_logfile_maxbytes, config.stderr_logfile_backups],
        "environment": config.environment,
    }


def read(path):
    server = options.ServerOptions()
    server.configfile = path
    try:
        server.process_config(do_usage=False)
    except Exception as error:  # supervisord ends with any of them
        return {"error": "%s: %s" % (type(error).__name__, error)}
    groups = server.process_group_configs
    return {"umask": int(server.umask, 8) if isinstance(server.umask, str) else server.umask,
            "processes": [process(group, config) for group in groups for config in group.process_configs
                          if not isinstance(group, options.EventListenerPoolConfig)]}


for line in sys.stdin:
    path = line.rstrip("\n")
    os.chdir(os.path.dirname(path))
    print(json.dumps(read(path)))
