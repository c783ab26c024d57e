"""`python -m hnlpu` is `hnlpu`."""

from hnlpu.cli import main

main()
