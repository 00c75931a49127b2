"""Fuzzing from payload to prediction, guided by the coverage of the engine's and Pillow's Python code.

judge     what one payload must end in; needs no fuzzer, so that a finding can be looked at anywhere
mutate    changes that get past checksums and compression
fuzzer    one process that fuzzes until it finds something, by atheris (libFuzzer)
__main__  ``make fuzz``: seeds, the process again and again until the time is over, the report
"""
