package org.apache.beam.runners.flink.translation.functions;

import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.beam.runners.fnexecution.control.BundleCheckpointHandler;
import org.apache.beam.runners.fnexecution.control.BundleFinalizationHandler;
import org.apache.beam.runners.fnexecution.control.BundleProgressHandler;
import org.apache.beam.runners.fnexecution.control.DefaultExecutableStageContext;
import org.apache.beam.runners.fnexecution.control.ExecutableStageContext;
import org.apache.beam.runners.fnexecution.control.InstructionRequestHandler;
import org.apache.beam.runners.fnexecution.control.OutputReceiverFactory;
import org.apache.beam.runners.fnexecution.control.ProcessBundleDescriptors.ExecutableProcessBundleDescriptor;
import org.apache.beam.runners.fnexecution.control.ReferenceCountingExecutableStageContextFactory;
import org.apache.beam.runners.fnexecution.control.RemoteBundle;
import org.apache.beam.runners.fnexecution.control.StageBundleFactory;
import org.apache.beam.runners.fnexecution.control.TimerReceiverFactory;
import org.apache.beam.runners.fnexecution.provisioning.JobInfo;
import org.apache.beam.runners.fnexecution.state.StateRequestHandler;
import org.apache.beam.sdk.util.construction.graph.ExecutableStage;

/**
 * Stands before Beam's class of this name on the class path, so that a job survives the death of an SDK worker.
 *
 * <p>Beam keeps the SDK workers of a job in a context that its tasks share and count. A task whose `open` fails is never closed
 * by Flink, so it keeps its count for ever: the context outlives the attempt, and every later attempt meets the dead worker.
 * Beam relies on Flink's class loader, which is a new one with every attempt, to forget such a context. Here Beam's jars are on
 * the task managers' own class path, whose classes stay.
 *
 * <p>So a task that cannot begin gives its count back, and its context is not handed out again.
 */
public class FlinkExecutableStageContextFactory implements ExecutableStageContext.Factory {
  private static final FlinkExecutableStageContextFactory INSTANCE = new FlinkExecutableStageContextFactory();
  private static final ConcurrentMap<String, ExecutableStageContext.Factory> CURRENT = new ConcurrentHashMap<>();

  private FlinkExecutableStageContextFactory() {}

  public static FlinkExecutableStageContextFactory getInstance() {
    return INSTANCE;
  }

  @Override
  public ExecutableStageContext get(JobInfo job) {
    ExecutableStageContext.Factory factory =
        CURRENT.computeIfAbsent(
            job.jobId(),
            id -> ReferenceCountingExecutableStageContextFactory.create(DefaultExecutableStageContext::create, caller -> false));
    return new Context(factory.get(job), () -> CURRENT.remove(job.jobId(), factory));
  }

  /** A counted context. `forget` makes the next task of the job start a new one, with new workers. */
  private static final class Context implements ExecutableStageContext {
    private final ExecutableStageContext counted;
    private final Runnable forget;
    private final AtomicBoolean isReturned = new AtomicBoolean();

    Context(ExecutableStageContext counted, Runnable forget) {
      this.counted = counted;
      this.forget = forget;
    }

    @Override
    public StageBundleFactory getStageBundleFactory(ExecutableStage stage) {
      try {
        return new Bundles(counted.getStageBundleFactory(stage), forget);
      } catch (RuntimeException | Error cause) {
        forget.run();
        try {
          close();
        } catch (Exception another) {
          cause.addSuppressed(another);
        }
        throw cause;
      }
    }

    @Override
    public void close() throws Exception {
      if (isReturned.compareAndSet(false, true)) {
        counted.close();
      }
    }
  }

  /** Bundles of one stage: where one cannot begin, its worker is dead. */
  private static final class Bundles implements StageBundleFactory {
    private final StageBundleFactory wrapped;
    private final Runnable forget;

    Bundles(StageBundleFactory wrapped, Runnable forget) {
      this.wrapped = wrapped;
      this.forget = forget;
    }

    @Override
    public RemoteBundle getBundle(
        OutputReceiverFactory outputs,
        TimerReceiverFactory timers,
        StateRequestHandler state,
        BundleProgressHandler progress,
        BundleFinalizationHandler finalization,
        BundleCheckpointHandler checkpoints)
        throws Exception {
      try {
        return wrapped.getBundle(outputs, timers, state, progress, finalization, checkpoints);
      } catch (Exception | Error cause) {
        forget.run();
        throw cause;
      }
    }

    @Override
    public ExecutableProcessBundleDescriptor getProcessBundleDescriptor() {
      return wrapped.getProcessBundleDescriptor();
    }

    @Override
    public InstructionRequestHandler getInstructionRequestHandler() {
      return wrapped.getInstructionRequestHandler();
    }

    @Override
    public void close() throws Exception {
      wrapped.close();
    }
  }
}
