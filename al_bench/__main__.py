from al_bench.cli import main

main()
