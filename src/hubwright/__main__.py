"""`python -m hubwright` is `hubwright`."""

from hubwright.cli import main

if __name__ == "__main__":
    main()
