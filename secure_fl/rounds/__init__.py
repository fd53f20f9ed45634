"""The rounds of a run: messages and the two pure state machines that exchange them."""
