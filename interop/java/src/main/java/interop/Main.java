package interop;

import java.io.PrintStream;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.AtomicInteger;

/** Runs the scenarios: Main NAMESRV_ADDR [REGEX | --list]. Most run side by side; those that touch what all share run alone. */
public final class Main {
    interface Scenario {
        void run(World world) throws Exception;
    }

    private static final PrintStream OUT = System.out;
    private static final AtomicInteger PASSED = new AtomicInteger();
    private static final AtomicInteger FAILED = new AtomicInteger();

    public static void main(String[] args) throws Exception {
        Map<String, Scenario> together = new LinkedHashMap<>();
        Map<String, Scenario> alone = new LinkedHashMap<>();
        Consumes.register(together);
        Sends.register(together);
        Queries.register(together);
        Processes.register(together);
        Admin.register(alone);
        String only = args.length > 1 ? args[1] : "";
        if (only.equals("--list")) {
            together.keySet().forEach(OUT::println);
            alone.keySet().forEach(OUT::println);
            return;
        }
        ExecutorService pool = Executors.newFixedThreadPool(10);
        List<Future<?>> running = new ArrayList<>();
        together.forEach((name, scenario) -> {
            if (name.matches(only.isEmpty() ? ".*" : only)) {
                running.add(pool.submit(() -> one(args[0], name, scenario)));
            }
        });
        for (Future<?> each : running) {
            each.get();
        }
        alone.forEach((name, scenario) -> {
            if (name.matches(only.isEmpty() ? ".*" : only)) {
                one(args[0], name, scenario);
            }
        });
        OUT.printf("%d passed, %d failed%n", PASSED.get(), FAILED.get());
        Runtime.getRuntime().halt(FAILED.get() == 0 && PASSED.get() > 0 ? 0 : 1);
    }

    private static void one(String namesrv, String name, Scenario scenario) {
        long begun = System.nanoTime();
        String why = null;
        try (World world = new World(namesrv, name)) {
            scenario.run(world);
        } catch (Throwable thrown) {
            why = thrown instanceof AssertionError ? thrown.getMessage() : thrown.toString();
            if (System.getenv("INTEROP_TRACE") != null) {
                thrown.printStackTrace();
            }
        }
        String took = String.format(" (%.1f s)", (System.nanoTime() - begun) / 1e9);
        if (why == null) {
            PASSED.incrementAndGet();
            OUT.println("ok " + name + took);
        } else {
            FAILED.incrementAndGet();
            OUT.println("FAILED " + name + ": " + why.replace('\n', ' ') + took);
        }
        OUT.flush();
    }

    private Main() {
    }
}
