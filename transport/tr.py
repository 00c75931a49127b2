import os, time
_f = open(f"/tmp/n/lead/trace.{os.getpid()}", "a", buffering=1) if os.environ.get("TRACE") else None
def tr(what, *a):
    if _f: _f.write(f"{time.time():.6f} {what} {' '.join(map(str, a))}\n")
