"""The numbers that `up` and `demo` try out."""

# Numbers that are set aside for fiction; their prefix is Washington's, so that a segment costs what it costs in the US.
NUMBER = "+12025550100"
CUSTOMER = "+12025550143"
