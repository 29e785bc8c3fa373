"""The program `ucr`: tools behind `import ucr`, streaming and the command line."""
