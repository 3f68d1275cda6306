from al_bench.front.cli import main

main()
