"""What servers, homes and the machine take: sampled, kept and told by a process of its own.

The hub passes on what this process answers; `hub/usage.py` decides who may see what. `GET /hub/api/hubwright/usage`:

    ?hours=H        also `history` of the last H hours (up to a year; 0.1 at least)
    ?user=NAME      somebody else's; without it the caller's own
    ?server=NAME    of one server only; `server=` alone is the default server
    ?all=1          everybody's, and `users`; for who may list users
    ?points=N       points a line of the history has at most, 10 to 500; 120 without it
    ?top=N          with `all` and `hours`: lines for the N users who used most processor time in it; 20 without it

A browser's request needs JupyterHub's XSRF token (`?_xsrf=...`; JupyterHub's `jhapi.js` adds it). 401 and 403 as
everywhere in JupyterHub's API; 503 with `{"message": sentence}` while this process is away. The answer:

    {"at": 1730000000.0,             Unix time of the newest sample; all times are Unix seconds
     "every": 5.0,                   seconds between samples
     "warning": "",                  a sentence when something is wrong ("The disk is full: ...")
     "machine": {
       "cpus": 8, "cpu": 2.31,       processors there are, and how many are busy (all of the machine's programs)
       "memory": 0, "memory_total": 0,     bytes that programs hold and cannot be had by others; bytes there are
       "load": [0.5, 0.4, 0.3],      of 1, 5 and 15 minutes
       "disk": 0, "disk_total": 0,   bytes, of the file system that holds the homes
       "servers": 12, "servers_cpu": 1.9, "servers_memory": 0,      all users' servers together
       "gpus": [{"name": "...", "busy": 0.4, "memory": 0, "memory_total": 0}]},
     "servers": [{
       "user": "ada", "server": "",  "" is the default server
       "cpu": 0.52,                  processors, over the last `every` seconds; null just after its start
       "memory": 0,                  bytes, of all its processes: usage without file pages that would be dropped first
       "processes": 9,               processes and threads; null where that is not counted
       "cpu_limit": 1.0, "memory_limit": 0, "processes_limit": 0,   what the machine enforces; null is no limit
       "cpu_reserve": 0.5, "memory_reserve": 0,     what is kept free for it; null is none
       "gpu_memory": null,           bytes; null without a GPU
       "since": 1730000000.0}],      when it was first seen
     "homes": [{"user": "ada", "bytes": 0, "limit": null, "at": 1730000000.0,
                "whole": true}],     false: there is at least so much, counting it took too long
     "history": {                    only with `hours`
       "from": 0.0, "step": 60.0,    point i is the mean over [from + i*step, from + (i+1)*step)
       "machine": {"cpu": [2.1], "memory": [0], "load": [0.4]},     null where nothing was measured
       "servers": [{"user": "ada", "server": "", "cpu": [0.5], "memory": [0]}],   null while it did not run
       "users":   [{"user": "ada", "cpu": [0.5], "memory": [0]}]},  only with `all`, instead of `servers`
     "users": [{                     only with `all`: everybody who has a server or had one within a week
       "user": "ada", "servers": 1, "cpu": 0.5, "memory": 0, "processes": 9,      now, all his servers together
       "cpu_reserve": 0.5, "memory_reserve": 0,
       "cpu_day": 0.11, "memory_day": 0,      means over the last day, with what did not run as 0
       "cpu_week": 0.02, "memory_week": 0,    and over the last week
       "memory_peak_week": 0,                 the most that one of his servers held at once
       "home": 0, "home_limit": null}]}       bytes; null before it was measured

`GET /hub/api/hubwright/prometheus` is the same for Prometheus, behind a token with the scope `read:metrics`.
"""
