"""What a program is: values, nodes, blocks. Data only; what an operation does is said in `jitgrad.ops`."""
